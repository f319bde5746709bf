"""Maps of Action Units: AM-1 to AM-7, G-17, and the released construction in float64."""

import cv2
import numpy as np
import pytest

from fer_batch import facs
from fer_batch.regions import expression_maps, has_map, standard_face, unit_maps
from fer_batch.regions.au_maps import ELLIPSES

S68, _ = standard_face()
SQUARE = np.trunc(S68 * [1, 224 / 275])
EXPRESSIONS = ("anger", "disgust", "fear", "happiness", "sadness", "surprise")
MAPS = dict(zip(EXPRESSIONS, expression_maps(np.repeat(SQUARE[None], 6, 0), EXPRESSIONS, (224, 224)), strict=True))


def cosine(one, other):
    return (one * other).sum() / np.sqrt((one**2).sum() * (other**2).sum())


@pytest.mark.parametrize(
    ("expression", "mean", "baseline"),
    [
        *(("anger", 0.151, 0.502), ("disgust", 0.164, 0.492), ("fear", 0.220, 0.562)),
        *(("happiness", 0.139, 0.469), ("sadness", 0.213, 0.567), ("surprise", 0.165, 0.484)),
    ],
)
def test_g17_means_and_baselines(expression, mean, baseline):
    found = MAPS[expression]
    assert found.shape == (224, 224) and found.dtype == np.float32
    assert found.min() == 0 and found.max() == 1
    assert found.mean() == pytest.approx(mean, abs=0.001)  # .01 is asked
    assert cosine(found, np.ones_like(found)) == pytest.approx(baseline, abs=0.001)


def test_g17_cosines_points_and_the_released_disgust():
    asked = {"fear surprise": 0.897, "happiness surprise": 0.205, "anger disgust": 0.690, "happiness sadness": 0.701}
    for names, value in asked.items():
        assert cosine(*(MAPS[name] for name in names.split())) == pytest.approx(value, abs=0.001)  # .02 is asked
    released = expression_maps(SQUARE[None], ["disgust"], (224, 224), disgust_release=True)
    assert released.mean() == pytest.approx(0.141, abs=0.001)
    at = {i: MAPS["happiness"][tuple(SQUARE[i, ::-1].astype(int))] for i in (48, 54, 27, 8)}
    assert min(at[48], at[54]) >= 0.98 and max(at[27], at[8]) <= 0.01


def released_ellipses(unit, points, height, width):
    """Centre and half axes of one Action Unit, as methods 2.7 prints them."""
    p, f = [(int(x), int(y)) for x, y in points], width / 224
    px = {n: round(n * f) for n in (5, 10, 20, 25)}
    if unit in (1, 2):
        right, left = {1: (20, 23), 2: (18, 25)}[unit]
        return [(*p[right], round(width / 8), round(height / 10)), (*p[left], round(width / 8), round(height / 10))]
    if unit == 4:
        (ax, ay), (bx, by) = p[19], p[24]
        across, down = int((bx - ax) / 2), int((by - ay) / 2)
        centre = int((ax + bx) / 2), int((ay + by) / 2)
        return [(*centre, across if across > 0 else px[10], down if down > 0 else px[10])]
    if unit in (5, 7):
        found = []
        for a, b, top, bottom in ((36, 39, 38, 41), (42, 45, 44, 47)):
            across = int((p[b][0] - p[a][0]) / 2)
            down = int((p[bottom][1] - p[top][1] + (20 * f if unit == 7 else 0)) / 2)
            centre = int((p[a][0] + p[b][0]) / 2), int((p[top][1] + p[bottom][1]) / 2)
            found.append((*centre, across if across > 0 else px[5], down if down > 0 else px[5]))
        return found
    if unit == 6:
        return [(p[i][0], p[i][1] + round(height / 6), round(width / 10), round(height / 10)) for i in (41, 46)]
    if unit == 17:
        (ax, ay), (bx, by) = p[59], p[8]
        return [
            (int((ax + bx) / 2), int((ay + by) / 2), int(abs(bx - ax) / 2) or px[5], int(abs(by - ay) / 2) or px[5])
        ]
    if unit in (23, 24, 26, 27):
        (ax, _), (bx, _), (_, ty), (_, by) = p[48], p[54], p[51], p[57]
        across, down = max(int((bx - ax) / 2), 0), max(int((by - ty) / 2), 0)
        return [(int((ax + bx) / 2), int((ty + by) / 2), across or px[5], down or px[5])]
    if unit == 25:
        return [(*p[51], px[25], px[10]), (*p[57], px[25], px[10])]
    centres = {
        9: [(p[31][0], p[29][1]), (p[35][0], p[29][1])],
        10: [(p[48][0], p[50][1]), (p[54][0], p[52][1])],
        12: [p[48], p[54]],
        15: [p[48], p[54]],
        16: [p[59], p[55]],
        20: [tuple(int((p[a][i] + p[b][i]) / 2) for i in (0, 1)) for a, b in ((48, 6), (54, 10))],
    }[unit]
    return [(x, y, px[20], px[20]) for x, y in centres]


def released(points, units, height, width):
    """AM-1 to AM-4 as printed, or None."""
    largest = None
    for unit in units:
        drawn = np.zeros((height, width)) + 1e-4
        for x, y, across, down in released_ellipses(unit, points, height, width):
            cv2.ellipse(drawn, (x, y), (across, down), 0, 0, 360, (255, 255, 255), cv2.FILLED)
        if drawn.max() < 1:
            continue
        smooth = cv2.resize(cv2.blur(cv2.resize(drawn, (28, 28)), (3, 3)), (width, height))
        largest = smooth if largest is None else np.maximum(largest, smooth)
    return None if largest is None else (largest - largest.min()) / (largest.max() - largest.min())


@pytest.mark.parametrize("size", [(224, 224), (112, 112), (160, 128)])
@pytest.mark.parametrize("codebook", ["martinez", "emfacs_sh"])
def test_other_faces_and_sizes_are_as_released(size, codebook):
    rng = np.random.default_rng(sum(size))
    n = 5
    points = SQUARE * [size[1] / 224, size[0] / 224] + rng.normal(0, 0.02 * size[0], (n, 68, 2))
    points[-1] += [0.9 * size[1], -0.4 * size[0]]  # mostly outside the image
    points[1, 24] = points[1, 19] - 3  # brows the wrong way round
    points[2, 38], points[2, 41] = points[2, 41], points[2, 38]  # closed eyes
    for variant in (False, True):
        for expression in EXPRESSIONS:
            units = facs.expression_units(expression, codebook, variant)
            found = expression_maps(points, [expression] * n, size, codebook, variant)
            for one, face in zip(found, points, strict=True):
                expected = released(face, units, *size)
                if expected is None:
                    assert np.isposinf(one).all()
                else:
                    np.testing.assert_allclose(one, expected, atol=1e-5)


def test_faces_without_a_map_are_infinite_and_told_apart():
    points = np.stack([SQUARE, np.full((68, 2), np.nan), SQUARE + 5000, SQUARE, SQUARE])
    maps = expression_maps(points, ["neutral", "fear", "fear", "fear", "contempt"], (224, 224))
    assert has_map(maps).tolist() == [False, False, False, True, False]
    assert np.isposinf(maps[[0, 1, 2, 4]]).all()


def test_the_units_of_a_face_are_the_largest_of_each():
    units = [(1, 12), (1,), (12,), (), (11, 28), (11, 12)]
    both, brow, lips, none, unknown, partly = unit_maps(np.repeat(SQUARE[None], 6, 0), units, (224, 224))
    assert both[71, 20] < 0.01 and both[int(SQUARE[20, 1]), 66] > 0.9 and both[int(SQUARE[48, 1]), 73] > 0.9
    np.testing.assert_allclose(both, np.maximum(brow, lips), atol=0.02)
    assert np.isinf(none).all() and np.isinf(unknown).all()
    np.testing.assert_array_equal(partly, lips)
    np.testing.assert_array_equal(
        unit_maps(SQUARE[None], [(23, 26)], (224, 224))[0], *unit_maps(SQUARE[None], [(27,)], (224, 224))
    )


def test_am6_a_face_of_half_the_size_has_the_map_of_half_the_size():
    half = expression_maps(SQUARE[None] / 2, ["happiness"], (112, 112))[0]
    assert cosine(cv2.resize(MAPS["happiness"], (112, 112), interpolation=cv2.INTER_AREA), half) > 0.99
    assert half.mean() == pytest.approx(MAPS["happiness"].mean(), abs=0.01)


def test_every_unit_of_every_codebook_has_its_ellipses():
    assert {unit for book in facs.CODEBOOKS.values() for units in book.values() for unit in units} <= set(ELLIPSES)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="did you mean 'surprise'"):
        expression_maps(SQUARE[None], ["suprise"], (224, 224))
    with pytest.raises(ValueError, match="unknown codebook 'emfacs'; did you mean"):
        expression_maps(SQUARE[None], ["fear"], (224, 224), codebook="emfacs")
    with pytest.raises(ValueError, match="units for each of 1 faces, got 2"):
        expression_maps(SQUARE[None], ["fear", "fear"], (224, 224))
