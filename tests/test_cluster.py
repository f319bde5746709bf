"""`cluster.yaml` is what Ray's autoscaler accepts."""

import copy
import json
from pathlib import Path

import jsonschema
import pytest
import yaml

CLUSTER = Path(__file__).parents[1] / "cluster.yaml"


def schema():
    import ray

    return json.loads((Path(ray.__file__).parent / "autoscaler" / "ray-schema.json").read_text())


def test_cluster_yaml_is_valid():
    from ray.autoscaler._private.util import prepare_config, validate_config

    cluster = yaml.safe_load(CLUSTER.read_text())
    jsonschema.validate(cluster, schema())
    validate_config(prepare_config(copy.deepcopy(cluster)))


def test_the_check_catches_a_typo():
    cluster = yaml.safe_load(CLUSTER.read_text())
    cluster["idle_timeout_minute"] = 3
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(cluster, schema())
