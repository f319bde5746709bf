"""The warp to the standard face: W-1 to W-5, G-16, and sums of relevance."""

import numpy as np
import pytest
from scipy.spatial import Delaunay

from fer_batch.regions import StandardWarp, standard_face
from fer_batch.regions.face_mesh import mesh_points

S68, CANVAS = standard_face()
HEIGHT, WIDTH = CANVAS


def faces(n, side=112, jitter=0.5, seed=0):
    """Landmarks of other people, in a square crop, all inside it; a detector's jitter is 2 % of the eyes' distance."""
    rng = np.random.default_rng(seed)
    scale = rng.uniform(0.25, 0.32, (n, 1, 2))
    return S68 * scale * side / 112 + rng.uniform(18, 24, (n, 1, 2)) + rng.normal(0, jitter, (n, 68, 2))


def blobs(landmarks, side=112, seed=1):
    """Noisy relevance of both signs about three points of each face."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    maps = np.zeros((len(landmarks), side, side))
    for one, points in zip(maps, landmarks, strict=True):
        for px, py in points[rng.choice(np.arange(27, 68), 3, replace=False)]:
            one += np.exp(-((x - px) ** 2 + (y - py) ** 2) / 2 / 4**2)
    return (maps * rng.gamma(2.0, 0.5, maps.shape)).astype(np.float32)


def by_the_paper(source, points, pixels):
    """The value of single pixels (x, y), triangle by triangle (W-3, W-4)."""
    target, of_face = (
        np.vstack([p, [(x, 0) for x, _ in p[:17]], [(0, 0), (0, h), (w, 0), (w, h)]])
        for p, (h, w) in ((S68, CANVAS), (points, source.shape))
    )
    _, first = np.unique(target, axis=0, return_index=True)
    first = np.sort(first)
    triangles = first[Delaunay(target[first]).simplices]
    found = []
    for pixel in pixels:
        for triangle in triangles:
            weights = np.linalg.solve(np.vstack([target[triangle].T, np.ones(3)]), [*pixel, 1.0])
            if (weights >= -1e-9).all():
                x, y = np.floor(weights @ of_face[triangle] + 1e-6).astype(int)
                inside = 0 <= x < source.shape[1] and 0 <= y < source.shape[0]
                found.append(source[y, x] if inside else 0.0)
                break
    return np.array(found)


def test_w1_has_89_points():
    points = mesh_points(S68[None], CANVAS)[0]
    assert points.shape == (89, 2)
    np.testing.assert_array_equal(points[:68], S68)
    np.testing.assert_array_equal(points[68:85], np.column_stack([S68[:17, 0], np.zeros(17)]))
    assert {tuple(p) for p in points[85:].tolist()} == {(0, 0), (0, HEIGHT), (WIDTH, 0), (WIDTH, HEIGHT)}


@pytest.mark.parametrize("sampling", ["floor", "bilinear"])
def test_g16_the_standard_face_is_itself(sampling):
    maps = np.random.default_rng(0).random((2, HEIGHT, WIDTH, 3), dtype=np.float32)
    warped = StandardWarp(sampling=sampling)(maps, np.stack([S68, S68]), CANVAS)
    np.testing.assert_allclose(warped.values, maps, atol=1e-6 if sampling == "bilinear" else 0)


def test_g16_a_face_of_half_the_size_is_read_at_half_the_position():
    source = np.random.default_rng(0).random((1, 140, 112))
    warped = StandardWarp()(source, S68[None] / 2, (138, 112)).values[0]
    assert warped[4, 2] == source[0, int(4 / 275 * 276 / 2), 1]
    rows, columns = np.mgrid[100:200, 60:160]  # inside the jaw all triangles are half as large
    large = StandardWarp()(source[:, :138], S68[None] / 2, (138, 112)).values[0]
    np.testing.assert_array_equal(large[rows, columns], source[0][rows // 2, columns // 2])


@pytest.mark.parametrize("seed", [0, 1])
def test_w4_pixels_are_those_of_the_paper(seed):
    rng = np.random.default_rng(seed)
    source = rng.random((1, 120, 100))
    points = S68 * [0.45, 0.4] + rng.normal(0, 3, S68.shape) + [0, rng.uniform(-20, 5)]
    pixels = np.column_stack([rng.integers(0, WIDTH, 80), rng.integers(0, HEIGHT, 80)])
    warped = StandardWarp()(source, points[None], source.shape[1:]).values[0]
    np.testing.assert_array_equal(warped[pixels[:, 1], pixels[:, 0]], by_the_paper(source[0], points, pixels))


def test_g16_outside_the_crop_is_0_and_a_constant_stays_constant_inside():
    ones = np.ones((1, 112, 112), np.float32)
    inside = StandardWarp()(ones, faces(1), (112, 112)).values
    assert (inside == 1).all()
    left = S68[None] * 0.4 - [20, 0]  # a third of the face is left of the crop
    for sampling in ("floor", "bilinear"):
        cut = StandardWarp(sampling=sampling)(ones, left, (112, 112)).values
        assert set(np.unique(cut)) == {0, 1}
        assert cut[0, 137, 20] == 0 and cut[0, 137, 200] == 1


def test_maps_smaller_than_their_crop_are_scaled():
    points, small = faces(3), np.random.default_rng(0).random((3, 28, 28))
    enlarged = small.repeat(4, axis=1).repeat(4, axis=2)
    for sampling in ("floor", "bilinear"):
        warp = StandardWarp(sampling=sampling)
        scaled = warp(small, points, (112, 112)).values
        if sampling == "floor":
            np.testing.assert_array_equal(scaled, warp(enlarged, points, (112, 112)).values)
        else:  # a ramp stays one: pixel centres lie over pixel centres
            ramp = np.broadcast_to(np.arange(28.0), (1, 28, 28))
            fine = np.broadcast_to((np.arange(112.0) + 0.5) / 4 - 0.5, (1, 112, 112))
            got, expected = (warp(m, points[:1], (112, 112)).values[:, 60:200, 60:160] for m in (ramp, fine))
            np.testing.assert_allclose(got, expected, atol=1e-5)


def test_a_map_does_not_depend_on_its_batch_nor_on_threads():
    points, maps = faces(19), np.random.default_rng(0).random((19, 56, 56), dtype=np.float32)
    for warp in (StandardWarp((69, 56), oversampling=2), StandardWarp((69, 56), "bilinear", "sums", "source")):
        whole = warp(maps, points, (112, 112), workers=2).values
        single = np.concatenate([warp(maps[i : i + 1], points[i : i + 1], (112, 112)).values for i in range(19)])
        np.testing.assert_array_equal(whole, single)


@pytest.mark.parametrize("bad", [np.full((68, 2), np.nan), np.zeros((68, 2)), np.outer(np.arange(68), [1, 2]) / 2])
def test_faces_without_landmarks_are_nan_and_counted(bad):
    points = np.stack([S68, bad, S68])
    points[0, 3] = np.inf
    maps = np.ones((3, HEIGHT, WIDTH), np.float32)
    warped = StandardWarp()(maps, points, CANVAS)
    assert warped.defined.tolist() == [False, False, True] and warped.n_undefined == 2
    assert np.isnan(warped.values[:2]).all() and (warped.values[2] == 1).all()
    images = StandardWarp()(np.full((3, HEIGHT, WIDTH, 3), 9, np.uint8), points, CANVAS).values
    assert (images[:2] == 0).all() and (images[2] == 9).all() and images.dtype == np.uint8


def test_sums_over_each_triangle_of_a_constant_map_are_its_areas_exactly():
    points = faces(2)
    warped = StandardWarp(keep="sums", sampling="bilinear")(np.full((2, 112, 112), 3.0), points, (112, 112)).values
    standard, source = mesh_points(S68[None], CANVAS)[0], mesh_points(points, (112, 112))
    triangles = Delaunay(standard[:68]).simplices  # between landmarks, those of the warp are the same where inside
    area = [
        np.abs(np.linalg.det(p[..., triangles[:, 1:], :] - p[..., triangles[:, :1], :])) for p in (standard, source)
    ]
    checked = 0
    for t, triangle in enumerate(triangles):
        x, y = standard[triangle].mean(axis=0)  # the centroid
        if area[0][t] > 40:
            near = np.abs(warped[:, round(y), round(x)] / (3.0 * area[1][:, t] / area[0][t]) - 1)
            checked += (near < 1e-5).all()
    assert checked > 60


@pytest.mark.parametrize(("canvas", "oversampling"), [((275, 224), 1), ((138, 112), 2), ((69, 56), 4)])
def test_sums_of_maps_inside_the_face_are_kept(canvas, oversampling):
    points = faces(12)
    maps = blobs(points)
    warped = StandardWarp(canvas, "bilinear", "sums", oversampling=oversampling)(maps, points, (112, 112)).values
    np.testing.assert_allclose(warped.sum((1, 2)), maps.sum((1, 2)), rtol=0.01)
    signed = maps * np.random.default_rng(3).choice([-1, 1], maps.shape)
    turned = StandardWarp(canvas, "bilinear", "sums", oversampling=oversampling)(signed, points, (112, 112)).values
    off = np.abs(turned.sum((1, 2)) - signed.sum((1, 2)))
    assert (off < 0.02 * maps.sum((1, 2))).all()
    plain = StandardWarp(canvas, "bilinear")(maps, points, (112, 112)).values
    assert np.ptp(plain.sum((1, 2)) / maps.sum((1, 2))) > 0.1  # without it they are not


def test_sums_over_parts_of_the_face_are_kept():
    """The mouth's relevance stays the mouth's: everything in its triangles, whose edges are 48..59."""
    import cv2

    points = faces(8)
    maps = blobs(points, seed=4)
    warped = StandardWarp((275, 224), "bilinear", "sums", oversampling=2)(maps, points, (112, 112)).values

    def share(values, corners):
        scale = 4  # pixels on the edge count by what is inside
        mask = np.zeros((values.shape[0] * scale, values.shape[1] * scale), np.uint8)
        cv2.fillPoly(mask, [np.round((corners + 0.5) * scale - 0.5).astype(np.int32)], 1)
        cover = mask.reshape(values.shape[0], scale, values.shape[1], scale).mean(axis=(1, 3))
        return (values * cover).sum() / values.sum()

    for one, source, face in zip(warped, maps, points, strict=True):
        assert share(one, S68[48:60]) == pytest.approx(share(source, face[48:60]), abs=0.02)


def test_released_triangulation_is_that_of_each_face():
    points = faces(2)
    maps = np.random.default_rng(0).random((2, 112, 112))
    printed, released = (StandardWarp(triangulate=t)(maps, points, (112, 112)).values for t in ("standard", "source"))
    assert 0.5 < (printed == released).mean() < 1  # most triangles are the same, not all
    same = StandardWarp(triangulate="source")(np.ones((1, HEIGHT, WIDTH)), S68[None], CANVAS).values
    assert (same == 1).all()


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="floor or bilinear or averaged, got 'cubic'"):
        StandardWarp(sampling="cubic")
    with pytest.raises(ValueError, match=r"landmarks \(n, 68, 2\), got \(2, 5, 5\) and \(1, 68, 2\)"):
        StandardWarp()(np.zeros((2, 5, 5)), S68[None], (5, 5))
    with pytest.raises(ValueError, match="floating maps, got uint8"):
        StandardWarp(keep="sums")(np.zeros((1, 5, 5), np.uint8), S68[None], (5, 5))
    with pytest.raises(ValueError, match="canvas"):
        StandardWarp((0, 5))
