-- One target of one sample that a fold was tested on.
CREATE TABLE predictions (
    "recipe" VARCHAR,
    "fold" INTEGER,
    "sequence_id" VARCHAR NOT NULL,
    "frame_index" BIGINT NOT NULL,
    "subject_id" VARCHAR,  -- prefixed by the dataset
    "target" VARCHAR,
    "logit" FLOAT,
    "probability" FLOAT,
    "occurrence" BOOLEAN,  -- the label; NULL where the annotation does not say
    "dataset" VARCHAR,  -- partition
    "model" VARCHAR  -- partition
);
