-- One metric of one epoch of one fold.
CREATE TABLE training (
    "recipe" VARCHAR,
    "fold" INTEGER,
    "epoch" INTEGER,
    "split" VARCHAR,
    "metric" VARCHAR,
    "value" DOUBLE,
    "dataset" VARCHAR,  -- partition
    "model" VARCHAR  -- partition
);
