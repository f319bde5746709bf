-- One mined sub-sequence of stages.
CREATE TABLE patterns (
    "group" VARCHAR,
    "pattern" VARCHAR,
    "length" INTEGER,
    "kind" VARCHAR,  -- contiguous, gapped
    "support" BIGINT,
    "lift" DOUBLE,
    "p_value" DOUBLE,
    "q_value" DOUBLE,
    "maximal" BOOLEAN,
    "dataset" VARCHAR,  -- partition
    "model" VARCHAR,  -- partition
    "explain" VARCHAR  -- partition
);
