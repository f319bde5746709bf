"""`cluster.yaml`, Kubernetes and schedulers: what their programs accept, and one command in all of them.

`cluster.yaml` is held against Ray's own schema. Those of KubeRay and Kubernetes are not to be had offline: here every
field is one of those that `kubernetes.json` lists, from the Go types of KubeRay and the API reference of Kubernetes.
"""

import ast
import configparser
import copy
import json
import re
import shlex
import subprocess
from pathlib import Path

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).parents[1]
CLUSTER = ROOT / "cluster.yaml"
KUBERNETES = ROOT / "jobs" / "kubernetes"
SCHEDULERS = ROOT / "jobs" / "schedulers"
FIELDS = json.loads((Path(__file__).parent / "kubernetes.json").read_text())


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


def objects():
    """Every object of `jobs/kubernetes`, by its kind."""
    texts = [path.read_text() for path in sorted(KUBERNETES.glob("*.yaml"))]
    return {found["kind"]: found for text in texts for found in yaml.safe_load_all(text)}


@pytest.mark.parametrize("kind", sorted(objects()))
def test_objects_have_known_fields_of_the_right_types(kind):
    jsonschema.validate(objects()[kind], {**FIELDS, "$ref": f"#/$defs/{kind}"})


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("RayJob", ("spec", "backOffLimit"), 0),
        ("RayJob", ("spec", "rayClusterSpec", "workerGroupSpecs", 0, "maxReplica"), 3),
        ("RayJob", ("spec", "rayClusterSpec", "headGroupSpec", "rayStartParams"), {"num-cpus": 0}),
        ("RayJob", ("spec", "ttlSecondsAfterFinished"), "600"),
        ("CronJob", ("spec", "concurrencyPolicy"), "Never"),
        ("CronJob", ("spec", "jobTemplate", "spec", "template", "spec", "containers", 0, "args2"), []),
        ("RayCronJob", ("spec", "concurrencyPolicy"), "Forbid"),
    ],
)
def test_the_fields_catch_typos(kind, path, value):
    broken = objects()[kind]
    at = broken
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(broken, {**FIELDS, "$ref": f"#/$defs/{kind}"})


def test_a_night_that_finished_with_failed_inputs_is_not_done_again():
    found = objects()
    assert found["RayJob"]["spec"]["backoffLimit"] == 0
    cron = found["CronJob"]["spec"]
    assert (cron["concurrencyPolicy"], cron["jobTemplate"]["spec"]["backoffLimit"]) == ("Forbid", 0)
    assert found["RayCronJob"]["spec"]["jobTemplate"] == found["RayJob"]["spec"]


def test_the_pod_of_the_cron_job_waits_for_the_ray_job(tmp_path):
    """Its script with a kubectl that says Initializing, Running, and then how it ended."""
    container = objects()["CronJob"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]
    (tmp_path / "sleep").write_text("#!/bin/sh\n")
    (tmp_path / "kubectl").write_text(
        '#!/bin/sh\nif [ "$1" = create ]; then echo rayjob/fer-batch-1; exit; fi\n'
        'case "$*" in *reason*) echo "AppFailed: exit 3"; exit;; esac\n'
        f"echo x >> {tmp_path}/asked\n"
        f'case $(wc -l < {tmp_path}/asked) in 1) echo Initializing;; 2) exit 1;; *) echo "$END";; esac\n'
    )
    for name in ("sleep", "kubectl"):
        (tmp_path / name).chmod(0o755)
    for end, code in (("Complete", 0), ("Failed", 1), ("ValidationFailed", 1)):
        (tmp_path / "asked").unlink(missing_ok=True)
        environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "END": end}
        done = subprocess.run(container["command"], env=environment, capture_output=True, text=True, timeout=20)
        assert done.returncode == code, done.stderr
        assert ("exit 3" in done.stdout) == bool(code)


def test_the_pod_of_the_cron_job_does_not_wait_for_ever(tmp_path):
    """A RayJob that is gone, and a night that hangs, must not keep every later night from starting."""
    job = objects()["CronJob"]["spec"]["jobTemplate"]["spec"]
    assert 0 < job["activeDeadlineSeconds"] < 24 * 3600
    (tmp_path / "sleep").write_text("#!/bin/sh\n")
    (tmp_path / "kubectl").write_text(
        '#!/bin/sh\nif [ "$1" = create ]; then echo rayjob/fer-batch-1; else exit 1; fi\n'
    )
    for name in ("sleep", "kubectl"):
        (tmp_path / name).chmod(0o755)
    command = job["template"]["spec"]["containers"][0]["command"]
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=20)
    assert done.returncode == 1
    assert "kubectl get failed 10 times in a row" in done.stdout


def test_images_and_clusters_are_of_the_ray_that_is_pinned():
    (pinned,) = re.findall(r"^ray==(.*)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    places = [CLUSTER, KUBERNETES / "Dockerfile"]
    named = [version for path in places for version in re.findall(r"rayproject/ray:([\d.]+)-", path.read_text())]
    named.append(objects()["RayJob"]["spec"]["rayClusterSpec"]["rayVersion"])
    assert set(named) == {pinned}


def test_the_image_has_what_it_copies():
    copies = re.findall(r"^COPY --chown=\S+ (.*) \S+$", (KUBERNETES / "Dockerfile").read_text(), re.MULTILINE)
    assert copies
    assert all((ROOT / name).exists() for line in copies for name in line.split())


def submitted(tmp_path, environment):
    """What nightly.sh asks `ray` for."""
    fake = tmp_path / "ray"
    fake.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    fake.chmod(0o755)
    own = {"PATH": f"{tmp_path}:/usr/bin:/bin", **environment}
    return subprocess.run([SCHEDULERS / "nightly.sh"], env=own, capture_output=True, text=True, timeout=20)


def test_every_scheduler_runs_the_command_of_the_ray_job(tmp_path):
    environments = [crontab(), service(), airflow(), dagster_job()]
    assert all(environment == environments[0] for environment in environments)
    asked = submitted(tmp_path, environments[0] | {"NIGHT": "x"}).stdout.split("\n")[:-1]
    assert asked[:5] == ["job", "submit", "--submission-id", "fer-batch-x", "--"]
    assert asked[5:] == shlex.split(objects()["RayJob"]["spec"]["entrypoint"])


def test_a_place_that_is_missing_is_named(tmp_path):
    done = submitted(tmp_path, {"RAY_ADDRESS": "http://127.0.0.1:8265"})
    assert done.returncode != 0
    assert "SOURCE: is not set: the media, such as s3://bucket/media" in done.stderr


PLACES = ("RAY_ADDRESS", "SOURCE", "OUTPUT")
NIGHTLY = "/opt/fer_batch/jobs/schedulers/nightly.sh"


def crontab():
    text = (SCHEDULERS / "crontab").read_text()
    assert re.search(rf"^30 1 \* \* \* flock -n \S+ {NIGHTLY}$", text, re.MULTILINE)
    return {name: value for name, value in re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE) if name in PLACES}


def service():
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.read(SCHEDULERS / "fer-batch.timer")
    assert unit["Timer"]["OnCalendar"] == "*-*-* 01:30:00"
    text = (SCHEDULERS / "fer-batch.service").read_text()
    assert f"ExecStart={NIGHTLY}\n" in text
    return {
        name: value for name, value in re.findall(r"^Environment=(\w+)=(.*)$", text, re.MULTILINE) if name in PLACES
    }


def literals(name):
    """Values in a Python file that are written out, by keyword argument or name."""
    found = {}
    for node in ast.walk(ast.parse((SCHEDULERS / name).read_text())):
        pairs = [(node.arg, node.value)] if isinstance(node, ast.keyword) else []
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            pairs = [(node.targets[0].id, node.value)]
        for key, value in pairs:
            if isinstance(value, ast.Constant | ast.Dict):
                found[key] = ast.literal_eval(value)
    return found


def airflow():
    found = literals("airflow_dag.py")
    assert (found["bash_command"].strip(), found["retries"], found["max_active_runs"]) == (NIGHTLY, 0, 1)
    assert found["schedule"] == "30 1 * * *"
    return {name: value for name, value in found["env"].items() if name in PLACES}


def dagster_job():
    found = literals("dagster_job.py")
    assert (found["NIGHTLY"], found["cron_schedule"]) == (NIGHTLY, "30 1 * * *")
    return found["PLACES"]


@pytest.mark.parametrize(("package", "name"), [("airflow", "airflow_dag.py"), ("dagster", "dagster_job.py")])
def test_schedulers_read_their_file(package, name):
    pytest.importorskip(package, reason=f"{package} is not installed")
    import runpy

    found = runpy.run_path(str(SCHEDULERS / name))
    if package == "dagster":
        assert [schedule.cron_schedule for schedule in found["definitions"].schedules] == ["30 1 * * *"]
