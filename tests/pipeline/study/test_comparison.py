import inspect

import pytest

from fer_batch.config.study import Study, StudyConfig
from fer_batch.pipeline.study.comparison import COMPARISONS, check_comparisons
from fer_batch.types import InputError


def study(compare, trainings=True):
    more = {"trainings": {"base": {}}} if trainings else {"networks": ["m"], "runs": {"base": {"source": {}}}}
    return Study(StudyConfig(name="s", output="o", compare=compare, **more), ())


@pytest.mark.parametrize("name", list(COMPARISONS))
def test_every_comparison_takes_the_study_and_named_options_with_defaults(name):
    record = COMPARISONS[name]
    first, *others = inspect.signature(record.load()).parameters.values()
    assert first.name == "work"
    assert all(one.kind is one.KEYWORD_ONLY and one.default is not one.empty for one in others)
    assert record.options() == [one.name for one in others]
    assert record.about


@pytest.mark.parametrize(
    ("compare", "trainings", "words"),
    [
        ({"fold_tabel": {}}, True, "unknown comparison 'fold_tabel'; did you mean 'fold_table'"),
        ({"grids": {"poeple": 3}}, True, "compare.grids: no option 'poeple'; did you mean 'people'"),
        ({"runtime": {"x": 3}}, True, "compare.runtime: no option 'x'; it has none"),
        ({"fold_table": {}}, False, "fold_table is of trainings, and the study has none"),
        ({"panel": {}}, True, "name them in section panel"),
    ],
)
def test_what_cannot_be_compared_is_refused_at_once(compare, trainings, words):
    with pytest.raises(InputError, match=words):
        check_comparisons(study(compare, trainings))
