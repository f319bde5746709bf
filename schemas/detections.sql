-- One (ok frame, target).
CREATE TABLE detections (
    "sequence_id" VARCHAR NOT NULL,
    "frame_index" BIGINT NOT NULL,
    "target" VARCHAR,
    "logit" FLOAT,
    "probability" FLOAT,
    "active" BOOLEAN,
    "cluster" VARCHAR,  -- letter of the cluster of this frame's map, NULL where inactive or undefined
    "mu" FLOAT,  -- share of the positive relevance inside the target's region
    "region_share" FLOAT,  -- share of the crop that the region covers: the chance level of mu
    "regions_version" VARCHAR,
    "conservation" FLOAT,  -- sum of the map over the logit, for LRP
    "dataset" VARCHAR,  -- partition
    "model" VARCHAR,  -- partition
    "explain" VARCHAR  -- partition
);
