-- One aggregated map.
CREATE TABLE heatmaps (
    "group" VARCHAR,
    "method" VARCHAR,
    "n" BIGINT,
    "height" INTEGER,
    "width" INTEGER,
    "scale" FLOAT,
    "relevance" FLOAT[],  -- row-major map divided by scale; R = relevance * scale
    "dataset" VARCHAR,  -- partition
    "model" VARCHAR,  -- partition
    "explain" VARCHAR  -- partition
);
