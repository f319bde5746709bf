-- One cluster of a class over a whole dataset.
CREATE TABLE class_prototypes (
    "target" VARCHAR,
    "cluster" VARCHAR,
    "n_frames" BIGINT,
    "exemplars" VARCHAR[],  -- sequence_id#frame_index, nearest to the mean map first
    "height" INTEGER,
    "width" INTEGER,
    "scale" FLOAT,
    "relevance" FLOAT[],  -- mean map, row-major map divided by scale; R = relevance * scale
    "spectrum" DOUBLE[],
    "analysis_id" VARCHAR,
    "dataset" VARCHAR,  -- partition
    "model" VARCHAR,  -- partition
    "explain" VARCHAR  -- partition
);
