"""One test for every row of the checklist of temporal prototypes (methods 16.1): its acceptance, word for word.

The rooms' own tests say more about each; these say that the list is complete.
"""

import math

import numpy as np
import pytest
import torch
from torch import nn

from fer_batch import explain, types
from fer_batch.evaluate import comparison, group_statistics, statistics_table
from fer_batch.evaluate.published import CK_PLUS
from fer_batch.evaluate.summary import GroupStatistics
from fer_batch.evaluate.tables import comparison_table, prototype_table
from fer_batch.explain.composites import Preset
from fer_batch.explain.lrp import LRP
from fer_batch.explain.rules import AlphaBeta, Epsilon
from fer_batch.prototypes import (
    find_stages,
    included,
    label_sets,
    parse,
    prototype_text,
    temporal_prototype,
)
from fer_batch.prototypes.patterns import common_patterns, longest_common
from fer_batch.prototypes.stages import letter
from fer_batch.prototypes.temporal import MODES, paper_count, reduction
from fer_batch.sources.listing import list_source
from fer_batch.spray import cluster, cluster_means
from fer_batch.spray.affinity import nearest_neighbours, neighbour_graph
from fer_batch.spray.clustering import by_first_occurrence
from fer_batch.spray.laplacian import spectrum
from fer_batch.spray.rules import eigengap, near_zero, near_zero_gap
from fer_batch.storage.store import Store
from fer_batch.training.losses import positive_weights, weighted_bce
from fer_batch.training.subjects import check_subjects
from fer_batch.visualize.colours import Palette
from fer_batch.visualize.figure import save
from fer_batch.visualize.heatmap import bwr
from fer_batch.visualize.projection import normalise, top_relevance
from fer_batch.visualize.stages import StagePanel, stage_strips
from fer_batch.visualize.timeline import timeline
from fer_batch.visualize.timeline_layout import Timeline

NAN = math.nan
G01 = (
    "(NONE) -> (AU02_A) -> (AU01_A, AU02_A, AU04_A) -> (AU01_A, AU02_B, AU04_A) -> (AU01_A, AU02_B)"
    " -> (AU01_A, AU02_A) -> (AU02_A) -> (NONE)"
)
G01_COOCCURRENCE = "(NONE) -> (AU02) -> (AU01, AU02, AU04) -> (AU01, AU02) -> (AU02) -> (NONE)"
G09 = np.array([[4.0, -1, 3], [3, 0, 2], [1, -5, 3]])


def story(spans, n=18):
    """The prototype of targets that are active on (first, last, cluster) spans."""
    letters = {}
    for target, parts in spans.items():
        clusters = {t: c for first, last, c in parts for t in range(first, last + 1)}
        labels = by_first_occurrence(np.array([clusters[t] for t in sorted(clusters)])).tolist()
        names = {t: letter(label) for t, label in zip(sorted(clusters), labels, strict=True)}
        letters[target] = [names.get(t) for t in range(n)]
    return temporal_prototype(find_stages(range(n), label_sets(n, letters)))


def toy(a=0, b=1):
    return story({"AU01": [(3, 13, 0)], "AU04": [(3, 8, 0)], "AU02": [(1, 4, a), (5, 11, b), (12, 15, a)]})


def blob(y, x, side=28):
    rows, columns = np.mgrid[:side, :side]
    return np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * 2.5**2))


def test_tp_a_frames_come_in_order_and_people_keep_their_names(tmp_path):
    source = Store(str(tmp_path))
    for name in ("S1/c/f10.png", "S1/c/f9.png", "S1/c/f0100.png"):
        source.put(name, b"x")
    source.put("sequences.csv", b"path,subject_id,emotion\nS1/c,S1,surprise\n")
    (ref,) = list_source("image_sequences", source.uri)
    assert [uri.rpartition("/")[2] for uri in ref.files] == ["f9.png", "f10.png", "f0100.png"]
    assert (ref.subject_id, ref.emotion) == ("S1", "surprise")
    source.put("S1/c/g9.png", b"x")
    with pytest.raises(types.InputError, match="distinct numbers"):
        list_source("image_sequences", source.uri)
    for unsorted in ([1, 0], [0, 0]):
        with pytest.raises(ValueError, match="rise strictly"):
            find_stages(unsorted, [(), ()])
    with pytest.raises(ValueError, match="prefix subjects by dataset"):
        check_subjects(["S1", "S1"], ["ck_plus", "actor_study"])


def test_tp_b_a_batch_of_two_au_sets_trains_and_nan_never_reaches_a_weight():
    logits = torch.logit(torch.tensor([[0.9, 0.2, 0.6], [0.4, 0.7, 0.5], [0.8, 0.1, 0.3]]))
    labels = torch.tensor([[1, 0, NAN], [0, NAN, 1], [1, 1, NAN]])
    assert weighted_bce(logits, labels, torch.tensor([2.0, 3.0, 4.0])).item() == pytest.approx(1.845220, abs=1e-6)

    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    images = torch.randn(8, 1, 2, 2)
    labels = torch.full((8, 3), NAN)
    labels[:4, :2] = (images[:4].flatten(1)[:, :2] > 0).float()  # one data set annotates two units, the other a third
    labels[4:, 2] = (images[4:].flatten(1)[:, 2] > 0).float()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.5)
    losses = []
    for _ in range(40):
        loss = weighted_bce(network(images), labels, positive_weights(labels))
        optimizer.zero_grad()
        loss.backward()
        assert all(torch.isfinite(p.grad).all() for p in network.parameters())
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    assert all(torch.isfinite(p).all() for p in network.parameters())


def test_tp_c_lrp_starts_at_the_logit_of_the_active_au_and_reports_conservation():
    hidden, top = nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False)
    hidden.weight.data, top.weight.data = torch.tensor([[1.0, 2], [-1, 1]]), torch.tensor([[1.0, -1], [0, 3]])
    network = nn.Sequential(nn.Flatten(), hidden, nn.ReLU(), top).eval()
    image = torch.tensor([[[[1.0, 2.0]]]])
    z_rule = LRP(Preset(dense=Epsilon(), conv=Epsilon(), first=Epsilon()))
    np.testing.assert_allclose(z_rule(network, image, [[0, 0]]).values.ravel(), [2, 2], atol=1e-5)
    alpha = LRP(Preset(dense=Epsilon(), conv=Epsilon(), first=AlphaBeta(1, 0)))
    np.testing.assert_allclose(alpha(network, image, [[0, 0]]).values.ravel(), [1, 3], atol=1e-5)

    found = explain.method("preset_a_flat")(network, image, [[0, 0], [0, 1]])
    np.testing.assert_allclose(found.score, [4, 3])  # the logit of each unit, before any sigmoid
    np.testing.assert_allclose(found.values[0].ravel(), 2 * [(4.87805 - 0.97561) / 2], atol=1e-5)
    np.testing.assert_allclose(found.conservation, found.values.sum((1, 2)) / found.score, rtol=1e-5)


def test_tp_d_maps_are_normalised_to_one_and_zero_is_white():
    np.testing.assert_allclose(normalise(G09), [[0.8, -0.2, 0.6], [0.6, 0, 0.4], [0.2, -1, 0.6]])
    np.testing.assert_allclose(normalise(G09, two_sided=True), [[1, -0.2, 0.75], [0.75, 0, 0.5], [0.25, -1, 0.75]])
    colours = bwr(G09)
    assert colours[1, 1].tolist() == [255, 255, 255]
    assert colours[2, 1].tolist() == [0, 0, 255]
    assert (normalise(np.zeros((2, 2))) == 0).all()


def test_tp_e_spray_finds_the_groups_of_g05_in_any_frame_order():
    weights = np.kron(np.eye(2), np.ones((9, 9))) - np.eye(18)
    values = spectrum(weights, 100)[0]
    np.testing.assert_allclose(values, [0] * 2 + [1.125] * 16, atol=1e-12)
    assert [near_zero(values, 1e-8, 17), eigengap(values, 0.1, 17), near_zero_gap(values, 0.1, 17)] == [2, 2, 2]
    points = np.array([[0.0], [1], [2], [10], [11], [12]])
    graph = neighbour_graph(nearest_neighbours(points, 2)[0])
    assert spectrum(graph, 6)[2].tolist() == [0, 0, 0, 1, 1, 1]

    rng = np.random.default_rng(0)
    maps = np.stack([blob(8, 6 if t < 9 else 21) for t in range(18)]) + 0.02 * rng.standard_normal((18, 28, 28))
    order = rng.permutation(18)
    labels, shuffled = cluster(maps).labels, cluster(maps[order]).labels
    assert labels.tolist() == [0] * 9 + [1] * 9
    np.testing.assert_array_equal(by_first_occurrence(labels[order]), shuffled)


def test_tp_f_a_cluster_prototype_is_the_mean_of_its_members():
    maps = np.random.default_rng(1).standard_normal((7, 5, 6)).astype(np.float32)
    labels = np.array([0, 1, 1, -1, 0, 1, 0])
    means = cluster_means(maps, labels)
    np.testing.assert_allclose(means[0], maps[[0, 4, 6]].mean(0), atol=1e-6)
    np.testing.assert_allclose(means[1], maps[[1, 2, 5]].mean(0), atol=1e-6)


def test_tp_g_letters_follow_first_occurrence():
    assert toy(a=0, b=1).text == toy(a=1, b=0).text == G01
    assert [letter(label) for label in by_first_occurrence(np.array([7, 7, 2, 7, 9]))] == ["A", "A", "B", "A", "C"]


def test_tp_h_none_stages_string_and_identity():
    found = toy()
    assert found.text == G01
    assert [stage.n_frames for stage in found.stages] == [1, 2, 2, 4, 3, 2, 2, 2]
    assert (found.n_stages, found.n_distinct_stages, paper_count(found.label_sets)) == (8, 6, 7)
    assert found.reduction == pytest.approx(1 - 8 / 18)
    longer = story({"AU01": [(3, 13, 0)], "AU04": [(3, 11, 0)], "AU02": [(1, 4, 0), (5, 11, 1), (12, 15, 0)]})
    assert longer.prototype_id != found.prototype_id
    same = story({"AU01": [(2, 12, 0)], "AU04": [(2, 9, 0)], "AU02": [(1, 4, 0), (5, 11, 1), (12, 15, 0)]})
    assert same.prototype_id == found.prototype_id


def test_tp_i_cooccurrence_prototypes_form_runs_anew():
    found = toy()
    assert found.cooccurrence_text == G01_COOCCURRENCE
    assert len(found.cooccurrence) == 6
    assert reduction(len(found.cooccurrence), found.n_frames) == pytest.approx(1 - 6 / 18)


def test_tp_j_statistics_have_the_rows_and_columns_of_the_published_table():
    everything = group_statistics(["e1", "e2", "e2"], [10, 20, 30], [5, 4, 3], ["p", "p", "q"], ["p", "p", "q"])
    one, two, total = everything
    assert (one.n_prototypes, two.n_prototypes, total.n_prototypes) == (1, 2, 2)
    assert (total.mean_reduction, total.ratio_of_means) == (pytest.approx(0.7333, abs=5e-5), pytest.approx(0.8))
    assert group_statistics([None], [1], [1], ["p"], ["p"])[-1].mean_reduction == 0
    assert group_statistics([None], [7], [1], ["p"], ["p"])[-1].mean_reduction == pytest.approx(6 / 7)
    assert math.isnan(group_statistics([None], [0], [0], [""], [""])[-1].mean_reduction)

    rows = ["sequences", "mean frames", "prototypes, co-occurrence only", "prototypes, with clustering"]
    rows += ["mean stages", "mean reduction"]
    assert list(statistics_table(everything))[:6] == rows
    printed = prototype_table("ck_plus", list(CK_PLUS.values()))
    assert printed.columns[1:] == (
        "Fear", "Disgust", "Happy", "Sadness", "Surprise", "Angry", "Contempt", "None", "all",
    )  # fmt: skip
    assert [row[0] for row in printed.rows][:6] == rows


def test_tp_k_top_x_keeps_25_percent_unless_told_otherwise():
    assert (top_relevance(G09) != 0).sum() == 1
    kept = {x: (np.count_nonzero(k := top_relevance(G09, x)), k.sum() / 16) for x in (0, 10, 26, 82, 100)}
    assert kept == {0: (0, 0), 10: (1, 0.25), 26: (4, 0.8125), 82: (5, 0.9375), 100: (6, 1)}
    stable = top_relevance(G09, 26, ties="stable")
    assert [tuple(place) for place in np.argwhere(stable)] == [(0, 0), (0, 2)]
    assert stable.sum() / 16 == 0.4375
    assert not top_relevance(-np.abs(G09)).any()


def test_tp_l_figures_have_a_panel_for_every_stage_and_a_colour_for_every_cluster(tmp_path):
    found = toy()
    labels = sorted({label for stage in found.stages for label in stage.labels})
    palette = Palette(["AU01", "AU02", "AU04"])
    assert len({palette.style(*label).fill for label in labels}) == len(labels) == 4

    panels = [
        StagePanel(s.labels, tuple(blob(9, 9) for _ in s.labels), s.first_frame, s.last_frame, s.n_frames)
        for s in found.stages
    ]
    (strip,) = stage_strips(panels)
    drawn = [image for axes in strip.axes for image in axes.images if (image.get_gid() or "").startswith("stage-")]
    assert len(drawn) == found.n_stages == found.text.count(" -> ") + 1

    clusters = {target: [None] * 18 for target in ("AU01", "AU02", "AU04")}
    for stage in found.stages:
        for target, name in stage.labels:
            clusters[target][stage.first_frame : stage.last_frame + 1] = [name] * stage.n_frames
    lines = timeline(
        Timeline(
            frames=np.arange(18),
            ok=np.ones(18, bool),
            targets=tuple(clusters),
            clusters=tuple(map(tuple, clusters.values())),
            stage_starts=tuple(stage.first_frame for stage in found.stages),
            probability=np.full((3, 18), 0.5),
            threshold=0.5,
            fps=25.0,
        )
    )
    for name, figure in (("strip.png", strip), ("timeline.png", lines)):
        (tmp_path / name).write_bytes(save(figure))
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def test_tp_m_inclusion_in_three_modes():
    p, q = parse("(AU01_A, AU02_A) -> (AU02_A)"), parse("(AU01_A, AU02_A) -> (AU02_A, AU25_A)")
    for mode in MODES:
        assert [included(p, q, mode=mode), included(q, p, mode=mode)] == [True, False]
        assert [included(p, p, mode=mode), included(p, p, mode=mode, strict=True)] == [True, False]
    part, whole = parse("(AU01_A) -> (AU02_A)"), parse("(AU01_A) -> (AU04_A) -> (AU02_A)")
    assert {mode: included(part, whole, mode=mode) for mode in MODES} == {
        "subsequence": True, "contiguous": False, "stagewise": False,
    }  # fmt: skip
    none, any_stage = parse("(NONE) -> (AU02_A)"), parse("(AU05_A) -> (AU02_A)")
    assert [included(none, any_stage, none_strict=strict) for strict in (False, True)] == [True, False]


def test_tp_n_common_sub_sequences_and_the_longest():
    stories = [parse("(a) -> (b) -> (c)"), parse("(a) -> (b)"), parse("(b) -> (c)")]
    contiguous = {pattern.text: pattern.support for pattern in common_patterns(stories, 1)}
    assert contiguous == {
        "(a)": 2, "(b)": 3, "(c)": 2, "(a) -> (b)": 2, "(b) -> (c)": 2, "(a) -> (b) -> (c)": 1,
    }  # fmt: skip
    gapped = {pattern.text: pattern.support for pattern in common_patterns(stories, 1, kind="gapped")}
    assert gapped == contiguous | {"(a) -> (c)": 1}
    maximal = common_patterns(stories, 2, maximal_only=True)
    assert {pattern.text for pattern in maximal} == {"(a) -> (b)", "(b) -> (c)"}
    one, two = parse("(NONE) -> (1, 2) -> (2)"), parse("(NONE) -> (1, 2) -> (1, 2, 25) -> (2)")
    assert len(longest_common(one, two)) == 3
    assert len(longest_common(one, two, kind="contiguous")) == 2


def test_tp_o_two_data_sets_are_compared_by_frames_stages_and_reduction():
    study = GroupStatistics("all", 3, 129.0, 3, 3, 18.0, NAN, 1 - 18 / 129)
    found = comparison(study, CK_PLUS["all"])
    assert (round(found.frames_ratio, 1), round(found.stages_ratio, 1)) == (7.1, 3.0)
    assert found.reduction == pytest.approx(0.860, abs=5e-4)
    assert comparison_table({"CK+": CK_PLUS["all"], "AS": study}).rows == (("AS / CK+", "7.1", "3.0", "86 %", "67 %"),)


def test_tp_p_nothing_assumes_a_face(tmp_path):
    rng = np.random.default_rng(2)
    maps = np.stack([blob(8, 6)] * 6 + [blob(20, 20)] * 6) + 0.02 * rng.standard_normal((12, 28, 28))
    names = [letter(label) for label in cluster(maps).labels.tolist()]
    letters = {"bearing worn": [None] * 2 + names, "belt_slips": [""] * 3 + [None] * 11}
    found = temporal_prototype(find_stages(range(14), label_sets(14, letters)))
    assert found.text == ("(belt_slips) -> (bearing worn_A, belt_slips) -> (bearing worn_A) -> (bearing worn_B)")
    assert prototype_text(parse(found.text)) == found.text
    panels = [
        StagePanel(s.labels, (None,) * len(s.labels), s.first_frame, s.last_frame, s.n_frames) for s in found.stages
    ]
    (tmp_path / "strip.png").write_bytes(save(stage_strips(panels)[0]))
    assert (tmp_path / "strip.png").stat().st_size > 0


def test_tp_q_end_to_end_g22_tells_the_story_of_g01_for_20_of_20_seeds():
    shown = {
        "AU01": {t: blob(8, 14) for t in range(3, 14)},
        "AU04": {t: blob(11, 14) for t in range(3, 9)},
        "AU02": {t: blob(8, 21 if 5 <= t <= 11 else 6) for t in range(1, 16)},
    }
    for seed in range(20):
        rng = np.random.default_rng(seed)
        spans, counts = {}, {}
        for target, maps in shown.items():
            noisy = np.stack(list(maps.values())) + 0.02 * rng.standard_normal((len(maps), 28, 28))
            found = cluster(noisy.astype(np.float32))
            counts[target] = found.n_clusters
            spans[target] = [(t, t, int(label)) for t, label in zip(maps, found.labels, strict=True)]
        assert counts == {"AU01": 1, "AU04": 1, "AU02": 2}
        assert story(spans).text == G01
