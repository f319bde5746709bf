-- One figure of one night (a run with inputs) beside its control limits: fer-batch nightly, docs/nights.md.
CREATE TABLE drift (
    "run_id" VARCHAR NOT NULL,
    "started_at" TIMESTAMPTZ,
    "figure" VARCHAR,  -- mu (over chance), f1, confidence, active, look, faces, failed
    "target" VARCHAR,  -- NULL of faces and failed
    "look" INTEGER,  -- of figure look; NULL there: all looks that are not common in the reference
    "value" DOUBLE,
    "low" DOUBLE,  -- of its 95 % interval by subject; NULL for fewer than four
    "high" DOUBLE,
    "n" BIGINT,  -- frames or inputs behind it; of f1 2 TP + FP + FN, which it is a share of
    "n_subjects" BIGINT,  -- sequences without a subject count as one each
    "centre" DOUBLE,  -- mean of the reference nights; NULL with all limits where these are too few
    "lower" DOUBLE,  -- Shewhart limits of this night
    "upper" DOUBLE,
    "smoothed" DOUBLE,  -- EWMA of the nights since the reference, and its limits
    "smoothed_lower" DOUBLE,
    "smoothed_upper" DOUBLE,
    "state" VARCHAR,  -- reference, before (it), open (no limits), within, below, above
    "alarm" VARCHAR,  -- looks_elsewhere: mu is below while F1, or confidence, is not; change; NULL for none
    "dataset" VARCHAR,  -- partition
    "model" VARCHAR,  -- partition
    "explain" VARCHAR  -- partition
);
