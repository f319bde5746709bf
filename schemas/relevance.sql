-- One explained (frame, target).
CREATE TABLE relevance (
    "sequence_id" VARCHAR NOT NULL,
    "frame_index" BIGINT NOT NULL,
    "target" VARCHAR,
    "height" INTEGER,
    "width" INTEGER,
    "scale" FLOAT,  -- max |R|
    "relevance" FLOAT[],  -- row-major map divided by scale; R = relevance * scale
    "dataset" VARCHAR,  -- partition
    "model" VARCHAR,  -- partition
    "explain" VARCHAR  -- partition
);
