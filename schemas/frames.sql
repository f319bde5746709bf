-- One sampled frame.
CREATE TABLE frames (
    "sequence_id" VARCHAR NOT NULL,
    "frame_index" BIGINT NOT NULL,  -- 0-based in true decode order, before sampling
    "source_frame" BIGINT,  -- number in the file name of a numbered image
    "timestamp_ns" BIGINT,  -- from the first frame; NULL of pictures, which have no clock
    "status" VARCHAR NOT NULL,  -- ok, no_face, face_too_small, decode_error
    "reason" VARCHAR,
    "track_id" INTEGER,  -- whose face of the input, 0 for the first; counts changes of the largest face
    "face_box" FLOAT[],  -- left, top, right, bottom in displayed source pixels
    "crop_matrix" DOUBLE[],  -- 2x3 row-major, source to crop, pixel centres at integers
    "landmarks" FLOAT[],  -- x0, y0 .. x67, y67 in crop pixels
    "dataset" VARCHAR,  -- partition
    "model" VARCHAR,  -- partition
    "explain" VARCHAR  -- partition
);
