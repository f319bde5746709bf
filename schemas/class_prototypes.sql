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
    "n_clusters" INTEGER,  -- since schema 2, before NULL
    "n_clustered" BIGINT,  -- stills clustered; of a very large class a sample, others joined; since schema 2, before NULL
    "spectrum" DOUBLE[],  -- smallest eigenvalues of the Laplacian
    "rule" VARCHAR,  -- since schema 2, before NULL
    "n_neighbors" INTEGER,  -- since schema 2, before NULL
    "eigengap" DOUBLE,  -- from the last eigenvalue that counts a cluster to the next; NULL for one map; since schema 2, before NULL
    "silhouette" DOUBLE,  -- -1 mixed to 1 well apart; NULL for one cluster; since schema 2, before NULL
    "analysis_id" VARCHAR,
    "complete" BOOLEAN,  -- false where stills of older shards could not be counted; since schema 3, before NULL
    "dataset" VARCHAR,  -- partition
    "model" VARCHAR,  -- partition
    "explain" VARCHAR  -- partition
);
