-- One look: clusters of many sequences in which the network looks at the same place for a target.
CREATE TABLE looks (
    "target" VARCHAR,
    "look" INTEGER,  -- AU01@2 in texts; of one generation it never changes its meaning
    "generation" INTEGER,  -- how often the looks of the partition were found anew, from 1
    "opened" INTEGER,  -- 0 with the generation, then later and later
    "previous" INTEGER,  -- the nearest look of the generation before
    "n_clusters" BIGINT,
    "n_frames" BIGINT,
    "n_sequences" BIGINT,
    "n_subjects" BIGINT,  -- sequences without a subject count as one each
    "share" DOUBLE,  -- of the sequences that have a look of the target
    "rare" BOOLEAN,  -- in so few sequences that these are outliers
    "isolation" DOUBLE,  -- distance of its centre to that of the nearest look that is not rare
    "stability" DOUBLE,  -- 0 to 1: how surely another half of the subjects has it; NULL where too few are there
    "radius" DOUBLE,  -- distance from the centre up to which a cluster joins
    "mu" DOUBLE,  -- mean over its frames; NULL without regions
    "place" VARCHAR,  -- the mouth, brows, ...: where most of its positive relevance lies; docs/looks.md
    "place_share" DOUBLE,  -- of its positive relevance that lies there
    "exemplars" VARCHAR[],  -- sequence_id#frame_index, nearest to the centre first
    "face" VARCHAR,  -- standard (the standard face), or crop where a target has no landmarks
    "height" INTEGER,
    "width" INTEGER,
    "scale" FLOAT,
    "relevance" FLOAT[],  -- mean of its clusters' maps, each over its sum of |R|; row-major map divided by scale; R = relevance * scale
    "centre" FLOAT[],  -- what clusters are compared with, of length 1; it never moves
    "dataset" VARCHAR,  -- partition
    "model" VARCHAR,  -- partition
    "explain" VARCHAR  -- partition
);
