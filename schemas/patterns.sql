-- One mined sub-sequence of stages.
CREATE TABLE patterns (
    "group" VARCHAR,  -- an emotion, or all
    "letters" BOOLEAN,  -- stages with letters of clusters; false: active targets alone; since schema 2, before TRUE
    "mined" VARCHAR,  -- sequences (temporal prototypes), episodes (those of episodes); since schema 5, before "sequences"
    "pattern" VARCHAR,
    "length" INTEGER,  -- stages
    "kind" VARCHAR,  -- contiguous, gapped
    "support" BIGINT,  -- sequences of the group that have it, or have an episode that has it
    "lift" DOUBLE,  -- NULL for all
    "p_value" DOUBLE,
    "q_value" DOUBLE,  -- p after Benjamini and Hochberg, over the patterns and emotions of its letters
    "maximal" BOOLEAN,  -- no longer pattern of the kind has it as a part; NULL where that was not looked at
    "closed" BOOLEAN,  -- none that has it as a part has the same support; NULL likewise; since schema 2, before NULL
    "longest" INTEGER,  -- stages up to which every frequent pattern of the kind has a row; since schema 2, before NULL
    "labels" VARCHAR,  -- what its stages are made of: targets, letters or looks; since schema 5, before NULL
    "dataset" VARCHAR,  -- partition
    "model" VARCHAR,  -- partition
    "explain" VARCHAR  -- partition
);
