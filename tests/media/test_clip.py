"""When frames are held back, delivered or dropped, on decoders that complain as told."""

from types import SimpleNamespace

import pytest

from fer_batch.media.clip import Clip


def clip(script, codec="h264", reorder_depth=2):
    """A clip whose decoder gives each (frame number or None, complaint, is_corrupt) of `script`."""
    clip = Clip("unused")
    clip._joining = False
    clip._stream = SimpleNamespace(codec_context=SimpleNamespace(name=codec, reorder_depth=reorder_depth))
    clip.n_read = 0

    def decoded():
        for number, complaint, corrupt in script:
            clip.n_read += 1
            yield None if number is None else SimpleNamespace(number=number, is_corrupt=corrupt), complaint

    clip._decoded = decoded
    return clip


def delivered(clip):
    return [frame.number for frame in clip._frames_before_damage()]


def test_silence_delivers_each_frame_at_once():
    quiet = clip([(i, None, False) for i in range(5)])
    for frame in quiet._frames_before_damage():
        assert quiet.n_read == frame.number + 1
    assert quiet.damage is None


def test_a_harmless_complaint_loses_nothing():
    noisy = clip([(i, "mmco: unref short failure" if i == 3 else None, False) for i in range(12)])
    assert delivered(noisy) == list(range(12))
    assert noisy.damage is None


def test_frames_between_a_complaint_and_the_damaged_picture_are_dropped():
    script = [(i, "error while decoding MB" if i == 4 else None, i == 6) for i in range(12)]
    damaged = clip(script)
    assert delivered(damaged) == [0, 1, 2, 3]
    assert damaged.damage == "error while decoding MB"


def test_a_complaint_without_a_frame_counts():
    damaged = clip([(0, None, False), (None, "lost", False), (1, None, False), (2, None, True)])
    assert delivered(damaged) == [0]
    assert damaged.damage == "lost"


def test_endless_harmless_complaints_hold_back_no_more_than_the_window():
    noisy = clip([(i, "co located POCs unavailable", False) for i in range(100)])
    for frame in noisy._frames_before_damage():
        assert noisy.n_read - frame.number <= 2 + 2 + 1
    assert frame.number == 99


@pytest.mark.parametrize("codec", ["hevc", "vp9", "gif"])
def test_codecs_that_mark_nothing_end_at_the_first_complaint(codec):
    damaged = clip([(i, "bad" if i == 4 else None, False) for i in range(9)], codec=codec)
    assert delivered(damaged) == [0, 1, 2, 3]
    assert damaged.damage == "bad"
