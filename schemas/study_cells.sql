-- One cell of a study: a network under one explanation.
CREATE TABLE study_cells (
    "cell" VARCHAR,  -- what it is made of, as a digest; studies share cells
    "network" VARCHAR,  -- its training, or its name where it was given
    "fold" INTEGER,  -- of the training; NULL of a network that was given
    "method" VARCHAR,
    "variant" VARCHAR,  -- the method, and what else varies where that does not tell cells apart
    "varied" VARCHAR,  -- JSON: dotted key to value
    "status" VARCHAR NOT NULL,  -- done, failed, waiting
    "n_images" BIGINT,  -- images that were explained and timed
    "seconds" DOUBLE,  -- of the explanation alone, without decoding
    "seconds_per_image" DOUBLE,
    "reason" VARCHAR,
    "dataset" VARCHAR,  -- with model and explain: where its rows are in other tables
    "model" VARCHAR,
    "explain" VARCHAR,
    "study" VARCHAR  -- partition
);
