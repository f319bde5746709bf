-- One cluster of one target of one sequence.
CREATE TABLE prototypes (
    "sequence_id" VARCHAR NOT NULL,
    "target" VARCHAR,
    "cluster" VARCHAR,
    "n_frames" BIGINT,
    "first_frame" BIGINT,
    "exemplar_frame" BIGINT,  -- the member nearest to the mean map
    "exemplar_jpeg" BLOB,  -- its face crop, where faces are stored
    "height" INTEGER,
    "width" INTEGER,
    "scale" FLOAT,
    "relevance" FLOAT[],  -- mean map, row-major map divided by scale; R = relevance * scale
    "n_clusters" INTEGER,
    "n_clustered" BIGINT,  -- frames clustered; beyond spray.max_frames, others joined the nearest; since schema 2, before NULL
    "spectrum" DOUBLE[],  -- smallest eigenvalues of the Laplacian
    "rule" VARCHAR,
    "n_neighbors" INTEGER,
    "eigengap" DOUBLE,  -- from the last eigenvalue that counts a cluster to the next; NULL for one map
    "silhouette" DOUBLE,  -- -1 mixed to 1 well apart; NULL for one cluster
    "p_split" DOUBLE,  -- that drift and noise alone make a step as clear; 1 where none is near, or frames are too few; since schema 5, before NULL
    "stability" DOUBLE,  -- mean Jaccard index with the cluster found when frames are left out; since schema 5, before NULL
    "analysis_id" VARCHAR,
    "standard_height" INTEGER,  -- of the grid on the standard face; NULL without landmarks; since schema 5, before NULL
    "standard_width" INTEGER,  -- since schema 5, before NULL
    "standard_scale" FLOAT,  -- max of the mean on it, of maps divided by their sums of |R|; since schema 5, before NULL
    "standard_relevance" FLOAT[],  -- that mean, row-major, divided by its scale; since schema 5, before NULL
    "dataset" VARCHAR,  -- partition
    "model" VARCHAR,  -- partition
    "explain" VARCHAR  -- partition
);
