-- One episode of a recording: activity between two rests.
CREATE TABLE episodes (
    "sequence_id" VARCHAR NOT NULL,
    "episode_index" INTEGER NOT NULL,  -- from 0
    "subject_id" VARCHAR,
    "emotion" VARCHAR,  -- of the sequence
    "first_frame" BIGINT,
    "last_frame" BIGINT,  -- inclusive
    "start_s" DOUBLE,  -- seconds from the first frame of the input; NULL of pictures, which have no clock
    "end_s" DOUBLE,  -- when the frame after the last is due; NULL likewise
    "duration_s" DOUBLE,
    "n_frames" BIGINT,  -- ok frames
    "n_missing_frames" BIGINT,  -- without a usable face, between the first and the last
    "n_stages" BIGINT,
    "text" VARCHAR,  -- its temporal prototype, of steady activity: (AU02_A) -> (AU01_A, AU02_A)
    "cooccurrence_text" VARCHAR,  -- the same without letters
    "looks_text" VARCHAR,  -- the same with looks; NULL where there are none
    "prototype_id" VARCHAR,  -- first 16 hex digits of sha256(text)
    "cooccurrence_id" VARCHAR,
    "stages" VARCHAR[],  -- text of each stage
    "stage_first_frames" BIGINT[],  -- first frame of each stage
    "stage_n_frames" BIGINT[],  -- ok frames of each stage
    "targets" VARCHAR[],  -- those that are active in it
    "target_frames" BIGINT[],  -- ok frames in which each of them is active
    "target_peaks" BIGINT[],  -- frame in which each of them has most evidence
    "target_evidence" DOUBLE[],  -- there, log-odds over what makes it active
    "lasting" VARCHAR[],  -- targets active for longer than episodes.max_run, through it too; not in its stages
    "peak_frame" BIGINT,  -- in which all of its targets together have most evidence
    "begins" VARCHAR,  -- rest, gap (frames are missing before it), recording (its first frames)
    "ends" VARCHAR,  -- rest, gap, recording
    "dataset" VARCHAR,  -- partition
    "model" VARCHAR,  -- partition
    "explain" VARCHAR  -- partition
);
