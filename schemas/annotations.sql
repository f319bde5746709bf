-- One ground-truth label of one frame.
CREATE TABLE annotations (
    "sequence_id" VARCHAR NOT NULL,
    "frame_index" BIGINT NOT NULL,
    "target" VARCHAR,
    "intensity" FLOAT,  -- 0 to 5 of an Action Unit; without an occurrence, 2 or more is present and 0 absent
    "occurrence" BOOLEAN,  -- as the annotation states it, NULL where it does not; wins over an intensity
    "raw" VARCHAR,  -- the label as the dataset writes it, where that says more
    "dataset" VARCHAR  -- partition
);
