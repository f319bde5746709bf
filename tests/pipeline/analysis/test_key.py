"""What names an analysis."""

from fer_batch.config import build
from fer_batch.pipeline.analysis.key import ANALYSIS, analysis_key

VALUES = {"name": "d", "source": {"uri": "in"}, "output": "out", "model": {"checkpoint": "demo"}}


def test_options_and_version_name_an_analysis_and_nothing_else_does():
    own = analysis_key(build(VALUES, "job"))
    assert own == analysis_key(build({**VALUES, "output": "elsewhere", "resources": {"num_cpus": 1}}, "job"), ANALYSIS)
    others = [
        analysis_key(build({**VALUES, **changed}, "job"))
        for changed in ({"regions": "none"}, {"temporal_prototypes": {"min_run": 3}}, {"spray": {"seed": 7}})
    ]
    assert len({own, analysis_key(build(VALUES, "job"), ANALYSIS - 1), *others}) == 5
