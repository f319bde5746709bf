"""Steps of a sequence of maps: found where they are, and not made of drift, noise, bursts of motion or gaps."""

import numpy as np
import pytest

from fer_batch.spray.steps import find_steps

DIRECTION = np.linalg.qr(np.random.default_rng(9).standard_normal((200, 8)))[0].T


def products(path, noise=0.0, seed=0):
    """Inner products of maps of length 1 that go a path, shape (n, d), along some directions."""
    rng = np.random.default_rng(seed)
    path = np.atleast_2d(np.asarray(path, float).T).T
    maps = DIRECTION[-1] + path @ DIRECTION[: path.shape[1]]
    maps = maps + noise / np.sqrt(200) * rng.standard_normal(maps.shape)
    return maps @ maps.T


def steps(path, noise=0.0, seed=0, times=None, **options):
    path = np.asarray(path, float)
    times = np.arange(len(path)) if times is None else np.asarray(times)
    return find_steps(products(path, noise, seed), times, **options)


def shown(*runs):
    """A path that stays at a place for some frames, then at the next."""
    return np.concatenate([np.full(n, place) for n, place in runs])


@pytest.mark.parametrize("noise", [0.0, 0.3, 0.6])
@pytest.mark.parametrize("frames", [6, 11, 16])
def test_a_step_is_found_at_its_frame(noise, frames):
    for seed in range(5):
        found = steps(shown((16, 0), (frames, 0.8), (16, 0)), noise, seed)
        assert found.first.tolist() == [16, 16 + frames]
        assert found.p_split < 0.01


@pytest.mark.parametrize("noise", [0.0, 0.5, 1.0])
@pytest.mark.parametrize(
    "path",
    [
        np.zeros(48),
        np.linspace(0, 2, 48),
        np.sin(np.arange(48) / 6),
        np.stack([np.sin(np.arange(48) / 7), np.cos(np.arange(48) / 5)], axis=1),
        np.random.default_rng(3).standard_normal(48).cumsum() * 0.1,
    ],
    ids=["still", "ramp", "swing", "circle", "walk"],
)
def test_neither_drift_nor_noise_is_a_step(path, noise):
    false = sum(len(steps(path, noise, seed).first) > 0 for seed in range(20))
    assert false <= 1, "level 5 %"


def test_a_step_is_found_in_a_drift():
    drift = 0.5 * np.sin(np.arange(48) / 6)
    for seed in range(5):
        found = steps(np.stack([drift, shown((20, 0), (8, 1.0), (20, 0))], axis=1), 0.5, seed)
        assert found.first.tolist() == [20, 28]


def test_a_quick_turn_of_the_head_is_no_step():
    still_then_turned = np.interp(np.arange(48), [16, 32], [0, 1])
    assert not len(steps(still_then_turned, 0.3).first)


def test_what_landmarks_and_codecs_do_anyway_is_no_step():
    assert not len(steps(shown((20, 0), (20, 0.04))).first)
    assert len(steps(shown((20, 0), (20, 0.5))).first) == 1


def test_a_frame_that_differs_is_no_step():
    path = np.zeros(40)
    path[17] = 1.0
    assert not len(steps(path, 0.3).first)


def test_a_drift_goes_on_where_no_map_is():
    times = np.append(np.arange(20), np.arange(32, 52))
    drift = times * 0.03
    assert not len(steps(drift, 0.2, times=times).first)
    jump = drift + shown((20, 0), (20, 1.5))
    assert steps(jump, 0.2, times=times).first.tolist() == [20]


@pytest.mark.parametrize("n", range(6))
def test_fewer_frames_than_two_windows_have_no_step(n):
    found = steps(np.arange(n) * 1.0)
    assert (found.first.tolist(), found.p_split) == ([], 1.0)


def test_nothing_shared_and_nothing_at_all():
    assert not len(find_steps(np.zeros((12, 12)), np.arange(12)).first)
    maps = np.random.default_rng(0).standard_normal((40, 300))
    assert not len(find_steps(maps @ maps.T, np.arange(40)).first)


def test_the_scale_of_the_maps_does_not_matter():
    one = products(shown((16, 0), (8, 1), (16, 0)), 0.5)
    for factor in (1e-12, 1e12):
        assert find_steps(one * factor, np.arange(40)).first.tolist() == [16, 24]
