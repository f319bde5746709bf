-- One figure.
CREATE TABLE evaluation (
    "target" VARCHAR,
    "metric" VARCHAR,
    "value" DOUBLE,
    "n" BIGINT,
    "baseline" DOUBLE,
    "group" VARCHAR,  -- class, emotion, moment of episodes, or what is compared
    "layer" VARCHAR,
    "split" VARCHAR,
    "fold" INTEGER,
    "trained_on" VARCHAR,
    "regions_version" VARCHAR,
    "dataset" VARCHAR,  -- partition
    "model" VARCHAR,  -- partition
    "explain" VARCHAR  -- partition
);
