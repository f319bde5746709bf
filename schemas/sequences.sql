-- One input: a video, an image sequence or a still; where its people are followed, one of them.
CREATE TABLE sequences (
    "sequence_id" VARCHAR NOT NULL,  -- path relative to the source root; #face2 behind it for the second person
    "subject_id" VARCHAR,
    "uri" VARCHAR,
    "kind" VARCHAR,  -- video, image_sequence, still
    "emotion" VARCHAR,
    "split" VARCHAR,  -- train, val, test, where the dataset says so
    "fps" DOUBLE,
    "n_declared" BIGINT,  -- frames the container claims
    "n_decoded" BIGINT,  -- frames that were decoded before sampling
    "n_frames" BIGINT,  -- frames that have rows, after sampling
    "status" VARCHAR NOT NULL,  -- done, partial (less was read than is there), failed, skipped
    "reason" VARCHAR,
    "unit_id" VARCHAR,
    "run_id" VARCHAR NOT NULL,
    "dataset" VARCHAR,  -- partition
    "model" VARCHAR,  -- partition
    "explain" VARCHAR  -- partition
);
