-- One ground-truth label of one frame.
CREATE TABLE annotations (
    "sequence_id" VARCHAR NOT NULL,
    "frame_index" BIGINT NOT NULL,
    "target" VARCHAR,
    "intensity" FLOAT,
    "occurrence" BOOLEAN,  -- NULL where the annotation does not say
    "raw" VARCHAR,  -- the label as the dataset writes it, where that says more
    "dataset" VARCHAR  -- partition
);
