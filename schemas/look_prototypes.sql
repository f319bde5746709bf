-- The temporal prototype of one sequence in looks, which mean the same in every sequence.
CREATE TABLE look_prototypes (
    "sequence_id" VARCHAR NOT NULL,
    "subject_id" VARCHAR,
    "emotion" VARCHAR,
    "text" VARCHAR,  -- (NONE) -> (AU02@1) -> (AU01@2, AU02@1)
    "prototype_id" VARCHAR,  -- first 16 hex digits of sha256(text)
    "n_stages" BIGINT,
    "n_frames" BIGINT,  -- ok frames
    "generation" INTEGER,
    "dataset" VARCHAR,  -- partition
    "model" VARCHAR,  -- partition
    "explain" VARCHAR  -- partition
);
