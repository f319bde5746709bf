import pytest
import yaml

from fer_batch.config import read_study
from fer_batch.config.reading import merged, set_key

TRAINING = {
    "kind": "train",
    "name": "pd",
    "sources": [{"dataset": "posed", "posed": {"subjects": 4}}],
    "network": {"architecture": "resnet18"},
    "split": {"kind": "folds", "k": 2},
}
STUDY = {
    "kind": "study",
    "name": "pd",
    "trainings": {"base": "train.yaml"},
    "runs": {"vary": {"explain.method": ["gradient", "z"]}},
    "compare": ["fold_table", {"grids": {"people": 2}}],
}


@pytest.fixture
def study(tmp_path):
    (tmp_path / "train.yaml").write_text(yaml.safe_dump(TRAINING))

    def read(changes=(), overrides=(), output="out", **more):
        values = merged(STUDY, more)
        for key, value in dict(changes).items():
            if "." in key:
                set_key(values, key, value)
            else:
                values[key] = value
        (tmp_path / "study.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
        return read_study(tmp_path / "study.yaml", overrides, output)

    return read
