-- One aggregated map.
CREATE TABLE heatmaps (
    "group" VARCHAR,
    "method" VARCHAR,
    "n" BIGINT,  -- maps; left out are those that are undefined, on the crop also those that are all zero
    "height" INTEGER,
    "width" INTEGER,
    "scale" FLOAT,
    "relevance" FLOAT[],  -- mean map, row-major map divided by scale; R = relevance * scale
    "normalisation" VARCHAR,  -- of each map before the mean; none: logit units; since schema 3, before "max"
    "complete" BOOLEAN,  -- false where maps of older shards could not be counted; since schema 3, before NULL
    "face" VARCHAR,  -- whose grid it has: crop, or standard (the standard face); since schema 4, before "crop"
    "fold" INTEGER,  -- of the network; NULL over all of its folds; since schema 4, before NULL
    "moment" VARCHAR,  -- of episodes in videos: onset, apex, offset; NULL over all frames; since schema 5, before NULL
    "dataset" VARCHAR,  -- partition
    "model" VARCHAR,  -- partition
    "explain" VARCHAR  -- partition
);
