"""From files to aligned face crops: decoding, sampling, landmarks, alignment."""
