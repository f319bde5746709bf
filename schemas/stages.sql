-- One stage: a maximal run of ok frames with one label set.
CREATE TABLE stages (
    "sequence_id" VARCHAR NOT NULL,
    "stage_index" INTEGER NOT NULL,
    "first_frame" BIGINT,
    "last_frame" BIGINT,  -- inclusive
    "n_frames" BIGINT,  -- ok frames
    "n_missing_frames" BIGINT,  -- without a usable face: in it, up to the next stage, before the first one
    "labels" VARCHAR[],  -- AU02_A
    "text" VARCHAR,
    "dataset" VARCHAR,  -- partition
    "model" VARCHAR,  -- partition
    "explain" VARCHAR  -- partition
);
