"""What a run refuses before it spends hours."""

from types import SimpleNamespace

import numpy as np
import pytest

from fer_batch.config import build
from fer_batch.models.card import Card
from fer_batch.models.known import known_network
from fer_batch.pipeline import plan_text
from fer_batch.pipeline.analysis.key import ANALYSIS, analysis_key
from fer_batch.pipeline.plan import check_relevance, make_plans, stale_shards
from fer_batch.storage.manifest import Ledger
from fer_batch.storage.store import Store
from fer_batch.types import InputError


@pytest.mark.parametrize(
    ("version", "keep", "options", "again"),
    [
        (ANALYSIS, "all", {}, False),
        (1, "all", {}, True),
        (1, "all", {"temporal_prototypes": {"min_run": 3}}, True),
        (1, "exemplars", {}, False),
        (1, "exemplars", {"temporal_prototypes": {"min_run": 3}}, False),
    ],
)
def test_what_an_earlier_version_analysed_is_analysed_again_where_its_maps_were_kept(
    world, golden, version, keep, options, again
):
    values = {"name": "d", "source": {"uri": "in"}, "output": "out", "model": {"checkpoint": "demo"}, **options}
    config, other = build(values, "job"), build({**values, "regions": "none"}, "job")
    world.keep_relevance, world.analysis_id = keep, analysis_key(config, version)
    world.stage("a", *golden.make(np.random.default_rng(0)))
    world.publish()
    ledger = Ledger(world.store)
    assert stale_shards(ledger, world.partition, config) == (list(ledger.shards) if again else [])
    assert stale_shards(ledger, world.partition, other) == list(ledger.shards), "other options are asked for"


def test_a_new_analysis_is_refused_where_too_few_maps_were_kept_whatever_the_job_says_now(world, golden):
    world.keep_relevance = "exemplars"
    world.stage("a", *golden.make(np.random.default_rng(0)))
    world.publish()
    values = {"name": "d", "source": {"uri": "in"}, "output": "out", "model": {"checkpoint": "demo"}}
    ledger = Ledger(world.store)
    with pytest.raises(InputError, match="keep_relevance: exemplars kept too few maps"):
        check_relevance(build(values, "job"), list(ledger.shards), ledger)
    check_relevance(build({**values, "keep_relevance": "exemplars"}, "job"), ["never published"], ledger)


def test_what_is_rest_must_be_an_output_of_the_network(tmp_path):
    (tmp_path / "a.mp4").touch()
    values = {"name": "d", "source": {"uri": str(tmp_path)}, "output": "out", "model": {"checkpoint": "demo"}}
    with pytest.raises(InputError, match=r"episodes.rest: the model has no output 'AU2'; did you mean"):
        make_plans([build({**values, "episodes": {"rest": ["neutral", "AU2"]}}, "job")], Store(str(tmp_path / "out")))


def test_a_clock_is_not_asked_of_numbered_images_among_videos(tmp_path):
    for name in ("a.mp4", "seq/1.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "m.csv").write_text("path\na.mp4\nseq\n")
    source = {"format": "manifest", "uri": str(tmp_path / "m.csv"), "sampling": {"fps": 5}}
    values = {"name": "d", "source": source, "output": "out", "model": {"checkpoint": "demo"}}
    values["faces"] = {"detector": "none"}
    with pytest.raises(InputError, match="numbered images have no clock"):
        make_plans([build(values, "job")], Store(str(tmp_path / "out")))


@pytest.mark.parametrize(
    ("faces", "said"),
    [
        ({"detector": "dataset"}, "faces.align=eyes"),
        ({"align": "eyes", "margin": 0.4}, "faces.margin=0.2"),
        ({"align": "eyes", "detector": "none"}, "faces.detector=dlib"),
        ({"align": "eyes", "detector": "dataset"}, ""),
    ],
)
def test_faces_that_are_cut_otherwise_than_in_training_are_named(faces, said, capsys):
    values = {"name": "d", "source": {"uri": "in"}, "output": "out", "model": {"checkpoint": "demo"}, "faces": faces}
    cut = {"detector": "dlib", "choose": "largest", "align": "eyes", "margin": 0.2}
    for card, expected in ((Card(name="n", targets=("AU01",), faces=cut), said), (Card(name="n", targets=("a",)), "")):
        plan_text._say_faces(build(values, "job"), SimpleNamespace(model=SimpleNamespace(card=card)))
        said_at_the_terminal = capsys.readouterr().err
        assert said_at_the_terminal.strip().endswith(expected) if expected else not said_at_the_terminal


def test_how_the_authors_of_a_published_network_cut_faces_is_said(capsys):
    values = {"name": "d", "source": {"uri": "in"}, "output": "out", "model": {"checkpoint": "demo"}}
    card = known_network("libreface_au_detection").card()
    plan_text._say_faces(build(values, "job"), SimpleNamespace(model=SimpleNamespace(card=card)))
    first, second = capsys.readouterr().err.strip().splitlines()
    assert first.endswith("cut otherwise than this job cuts them: faces.align=eyes")
    assert "cut faces so: MediaPipe FaceMesh; a square turned with the eye line" in second
    assert second.endswith("This job: faces.detector=dlib, faces.align=none, faces.margin=0.2")
