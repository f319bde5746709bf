"""A detector of a user: a module that a job names and every worker finds."""

import os

from fer_batch.media.landmarks import Face


class Detector:
    """The whole frame is the face; each frame that it is shown is a line of the file FRAMES_SEEN."""

    def __call__(self, image):
        with open(os.environ["FRAMES_SEEN"], "a") as handle:
            handle.write("frame\n")
        height, width = image.shape[:2]
        return [Face((0.0, 0.0, width - 1.0, height - 1.0), None, 1.0)]
