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
    "spectrum" DOUBLE[],  -- smallest eigenvalues of the Laplacian
    "rule" VARCHAR,
    "n_neighbors" INTEGER,
    "eigengap" DOUBLE,
    "silhouette" DOUBLE,
    "analysis_id" VARCHAR,
    "dataset" VARCHAR,  -- partition
    "model" VARCHAR,  -- partition
    "explain" VARCHAR  -- partition
);
