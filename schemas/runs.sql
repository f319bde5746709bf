-- One run.
CREATE TABLE runs (
    "run_id" VARCHAR NOT NULL,
    "started_at" TIMESTAMPTZ,
    "finished_at" TIMESTAMPTZ,
    "config" VARCHAR,  -- the job as JSON
    "versions" VARCHAR,  -- JSON
    "model_digest" VARCHAR,
    "weights_license" VARCHAR,
    "counts" VARCHAR,  -- JSON: found, done, partial, failed, skipped, already_done
    "dataset" VARCHAR,  -- partition
    "model" VARCHAR,  -- partition
    "explain" VARCHAR  -- partition
);
