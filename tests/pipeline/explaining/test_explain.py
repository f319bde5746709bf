"""The second step of phase 1, called on chunks without Ray."""

import numpy as np
import pytest
import torch

from fer_batch.models.card import ModelSpec, resolve
from fer_batch.pipeline.explaining.chunk import Chunk, ExplainOptions
from fer_batch.pipeline.explaining.explain import ExplainStage, method_options, select_pairs
from fer_batch.pipeline.explaining.units import Wanted

MODEL = resolve(ModelSpec(checkpoint="demo"))


def options(**changes):
    values = {"method": "preset_a_flat", "options": {}, "targets": "active", "batch_size": 2, "n_threads": 1}
    return ExplainOptions(model=MODEL, **{**values, **changes})


def chunk(n):
    images = np.random.default_rng(0).integers(0, 255, (n, 112, 112, 3), np.uint8)
    return Chunk("u", 0, True, [{"frame_index": i} for i in range(n)], np.arange(n), images, [["AU12"]] * n)


def batch(one):
    return {key: np.array([value], object) for key, value in one.to_row().items()}


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        ("active", [(0, 1), (1, 0), (1, 1)]),
        ("annotated", [(0, 0), (1, 2)]),
        ("all", [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]),
        (("c",), [(0, 2), (1, 2)]),
    ],
)
def test_pairs_are_chosen_as_the_job_says(targets, expected):
    model = resolve(ModelSpec(checkpoint="demo"))
    object.__setattr__(model, "targets", ("a", "b", "c"))
    chosen = ExplainOptions(model, "z", {}, targets, 1, 1)
    probability = np.array([[0.1, 0.5, 0.2], [0.9, 0.7, 0.49]], np.float32)
    assert list(map(tuple, select_pairs(probability, [["a"], ["c", "unknown"]], chosen))) == expected


def test_a_chunk_comes_back_with_one_map_per_pair_whatever_the_batch():
    stage, whole = (
        ExplainStage([options(targets=("AU12", "AU25"))]),
        ExplainStage([options(targets=("AU12", "AU25"), batch_size=8)]),
    )
    (row,) = stage(batch(chunk(5)))
    assert row["problem"] == [""]
    back = Chunk.from_batch({key: np.array(value, object) for key, value in row.items()})
    assert back.relevance.shape == (10, 112, 112)
    assert back.pairs.tolist() == [[i, MODEL.targets.index(t)] for i in range(5) for t in ("AU12", "AU25")]
    other = whole.explain(chunk(5))
    np.testing.assert_allclose(back.logits, other.logits, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(back.relevance, other.relevance, atol=2e-3 * np.abs(other.relevance).max())


def test_a_chunk_without_faces_passes():
    back = ExplainStage([options()]).explain(chunk(0))
    assert back.logits.shape == (0, len(MODEL.targets))
    assert len(back.pairs) == len(back.relevance) == len(back.conservation) == 0


def test_what_cannot_be_done_is_told_in_the_first_row():
    for wrong, words in (
        (options(method="preset_a_flatt"), "did you mean 'preset_a_flat'"),
        (options(targets=("AU99",)), "no output 'AU99'"),
        (options(options={"nonsense": 1}), "nonsense"),
    ):
        (row,) = ExplainStage([wrong])(batch(chunk(1)))
        assert words in row["problem"][0]


def test_a_method_that_asks_what_black_is_gets_the_models_mean_and_std():
    chosen = method_options(options(method="integrated_gradients"))
    assert (chosen["mean"], chosen["std"]) == (MODEL.preprocessing.mean, MODEL.preprocessing.std)
    assert "mean" not in method_options(options())
    assert method_options(options(method="integrated_gradients", options={"mean": (1, 1, 1)}))["mean"] == (1, 1, 1)


def explained(stage, one):
    """Chunks that a stage yields for a chunk."""
    rows = [{key: np.array(value, object) for key, value in row.items()} for row in stage(batch(one))]
    assert [row["problem"][0] for row in rows] == [""] * len(rows)
    return [Chunk.from_batch(row) for row in rows]


def test_several_explanations_share_one_prediction_and_are_each_what_it_is_alone():
    several = [
        options(targets="all"),
        options(method="gradient", targets="annotated"),
        options(method="z", batch_size=5),
    ]
    stage, n_passes = ExplainStage(several), []
    stage.model.register_forward_hook(lambda *_: n_passes.append(torch.is_inference_mode_enabled()))
    asked = (Wanted(2, "of-z"), Wanted(0, "of-a"), Wanted(1, "of-gradient"))
    found = explained(stage, chunk(5).with_maps(wanted_by=asked))
    assert n_passes.count(True) == 1 + 3, "once in batches of five, once in batches of two"
    assert [(one.explanation, one.unit_id, one.wanted_by) for one in found] == [(*want, ()) for want in asked]
    for one in found:
        (alone,) = explained(ExplainStage([several[one.explanation]]), chunk(5))
        for name in ("logits", "probability", "pairs", "relevance", "conservation"):
            np.testing.assert_array_equal(getattr(one, name), getattr(alone, name), err_msg=name)
        assert one.frames == alone.frames


def test_the_first_call_of_each_explainer_is_timed_apart():
    stage = ExplainStage([options(targets=("AU12", "AU25"), batch_size=4), options(method="gradient", targets="all")])
    one = chunk(5).with_maps(wanted_by=(Wanted(0, "a"), Wanted(1, "b")))
    first, gradient = (found.cost for found in explained(stage, one))
    assert (first.n_first_images, first.n_first_maps, first.n_images, first.n_maps) == (4, 8, 1, 2)
    assert (gradient.n_first_images, gradient.n_images) == (2, 3)
    assert min(first.first_seconds, first.seconds, gradient.seconds) > 0
    again, _ = (found.cost for found in explained(stage, one))
    assert (again.n_first_images, again.n_images, again.first_seconds) == (0, 5, 0)
    assert again.seconds_per_image == again.seconds / 5


def test_the_explanation_that_cannot_be_made_is_named():
    stage = ExplainStage([options(), options(method="grad_cam", options={"layer": "none"}), options()])
    rows = list(stage(batch(chunk(1).with_maps(wanted_by=tuple(Wanted(k, f"u{k}") for k in range(3))))))
    said = [(Chunk.from_batch({k: np.array(v, object) for k, v in row.items()}), row["problem"][0]) for row in rows]
    assert [(one.explanation, bool(problem)) for one, problem in said] == [(0, False), (1, True), (1, True)]
    assert "no module 'none'" in said[1][1]
    stage = ExplainStage([options(), options(options={"nonsense": 1})])
    assert stage.problem[0] == 1


def test_maps_of_one_explanation_leave_before_those_of_the_next_are_made():
    stage = ExplainStage([options(), options(method="gradient", targets="all")])
    rows = stage(batch(chunk(1).with_maps(wanted_by=(Wanted(1, "b"), Wanted(0, "a")))))
    called = []
    stage.explanations[0].explainer = lambda *_: called.append("a")
    assert Chunk.from_batch({key: np.array(v, object) for key, v in next(rows).items()}).unit_id == "b"
    assert called == []
