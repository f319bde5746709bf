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
    "n_explained" BIGINT,  -- maps when the run ended; NULL of methods that need not conserve; since schema 3, before NULL
    "n_unconserved" BIGINT,  -- of them, sum undefined or not 0.2 to 2 times the logit; since schema 3, before NULL
    "conservation_median" DOUBLE,  -- median of the maps' sums over their logits; since schema 3, before NULL
    "n_inputs" BIGINT,  -- inputs that this run did, whatever became of them; since schema 5, before NULL
    "n_frames" BIGINT,  -- frames with rows, of these inputs; since schema 5, before NULL
    "explain_seconds" DOUBLE,  -- wall time of phase explain, its engine started; NULL without; since schema 5, before NULL
    "prototypes_seconds" DOUBLE,  -- the same of phase prototypes; since schema 5, before NULL
    "report_seconds" DOUBLE,  -- the same of phase report; since schema 5, before NULL
    "frames_per_second" DOUBLE,  -- n_frames over explain_seconds; since schema 5, before NULL
    "dataset" VARCHAR,  -- partition
    "model" VARCHAR,  -- partition
    "explain" VARCHAR  -- partition
);
