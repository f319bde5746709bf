-- The look of one cluster of table prototypes.
CREATE TABLE cluster_looks (
    "sequence_id" VARCHAR NOT NULL,
    "target" VARCHAR,
    "cluster" VARCHAR,
    "look" INTEGER,  -- NULL where it has none
    "distance" DOUBLE,  -- to the centre of the look; of a cluster without one, to the nearest
    "generation" INTEGER,
    "dataset" VARCHAR,  -- partition
    "model" VARCHAR,  -- partition
    "explain" VARCHAR  -- partition
);
