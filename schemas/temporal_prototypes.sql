-- The temporal prototype of one sequence.
CREATE TABLE temporal_prototypes (
    "sequence_id" VARCHAR NOT NULL,
    "subject_id" VARCHAR,
    "emotion" VARCHAR,
    "text" VARCHAR,  -- (NONE) -> (AU02_A) -> (AU01_A, AU02_A)
    "cooccurrence_text" VARCHAR,  -- the same without letters
    "prototype_id" VARCHAR,  -- first 16 hex digits of sha256(text)
    "cooccurrence_id" VARCHAR,
    "n_frames" BIGINT,  -- ok frames
    "n_stages" BIGINT,
    "n_distinct_stages" BIGINT,
    "reduction" DOUBLE,  -- 1 - n_stages / n_frames
    "n_missing_frames" BIGINT,
    "analysis_id" VARCHAR,
    "dataset" VARCHAR,  -- partition
    "model" VARCHAR,  -- partition
    "explain" VARCHAR  -- partition
);
