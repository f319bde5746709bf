"""Options of comparisons are checked before anything is computed."""

import pytest

from fer_batch.pipeline.study.comparison import COMPARISONS
from fer_batch.pipeline.study.comparisons.options import CHOICES, COUNTS, check_options
from fer_batch.types import InputError


@pytest.mark.parametrize(
    ("comparison", "options", "words"),
    [
        ("faithfulness", {"score": "logits"}, "faithfulness.score: unknown value 'logits'; did you mean 'logit'"),
        ("faithfulness", {"segments": 3}, "segments: unknown value 3; known: grid, superpixels"),
        ("faithfulness", {"n_random": 0}, "faithfulness.n_random: expected a whole number from 1, got 0"),
        ("faithfulness", {"images": True}, "faithfulness.images: expected a whole number from 1, got True"),
        ("randomisation", {"seeds": 0}, "randomisation.seeds: expected a whole number from 1, got 0"),
        ("randomisation", {"steps": 2.5}, "randomisation.steps: expected a whole number"),
        ("standard_heatmaps", {"scale": "min"}, "standard_heatmaps.scale: unknown value 'min'; known: max, none"),
        ("heatmap_differences", {"n_arrangements": 0}, "heatmap_differences.n_arrangements: expected a whole number"),
        ("grids", {"people": "4"}, "grids.people: expected a whole number from 1, got '4'"),
        ("grids", {"columns": ["pain"]}, "grids.columns: expected a title and a label each"),
    ],
)
def test_a_wrong_value_is_one_sentence(study, tmp_path, comparison, options, words):
    with pytest.raises(InputError, match=words):
        check_options(comparison, options)
    with pytest.raises(InputError, match=words):
        COMPARISONS[comparison].load()(study.work(tmp_path, []), **options)


def test_what_is_checked_is_an_option():
    for name, options in [*COUNTS.items(), *CHOICES.items()]:
        assert set(options) <= set(COMPARISONS[name].options())
    for name in COMPARISONS:
        check_options(name, {})
