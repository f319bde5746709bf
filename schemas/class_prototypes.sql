-- One cluster of a class over a whole dataset.
CREATE TABLE class_prototypes (
    "target" VARCHAR,
    "cluster" VARCHAR,
    "n_frames" BIGINT,  -- stills
    "exemplars" VARCHAR[],  -- sequence_id#frame_index, nearest to the mean map first
    "height" INTEGER,
    "width" INTEGER,
    "scale" FLOAT,
    "relevance" FLOAT[],  -- mean map, row-major map divided by scale; R = relevance * scale
    "n_clusters" INTEGER,
    "n_clustered" BIGINT,  -- stills clustered; of a very large class a sample, which the others joined
    "spectrum" DOUBLE[],  -- smallest eigenvalues of the Laplacian
    "rule" VARCHAR,
    "n_neighbors" INTEGER,
    "eigengap" DOUBLE,  -- from the last eigenvalue that counts a cluster to the next; NULL for one map
    "silhouette" DOUBLE,  -- -1 mixed to 1 well apart; NULL for one cluster
    "analysis_id" VARCHAR,
    "complete" BOOLEAN,  -- false where stills of an earlier version's shards could not be counted
    "dataset" VARCHAR,  -- partition
    "model" VARCHAR,  -- partition
    "explain" VARCHAR  -- partition
);
