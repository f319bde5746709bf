"""What an output already holds of a study: its networks and cells, read without doing or writing anything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

from fer_batch.config import Study, TrainConfig
from fer_batch.models.card import ModelSpec, resolve
from fer_batch.pipeline.study.cells import Cell
from fer_batch.pipeline.study.choose import check_inputs
from fer_batch.pipeline.study.crops import ANSWERS, given_network, source_of
from fer_batch.pipeline.study.networks import StudyNetwork, of_training
from fer_batch.pipeline.study.plan import given_job, planned_cells
from fer_batch.pipeline.training.crops import crops_folder
from fer_batch.pipeline.training.train import left_by
from fer_batch.storage.manifest import digest
from fer_batch.storage.store import Store, join
from fer_batch.training.settings import LabelSettings
from fer_batch.types import InputError


@dataclass(frozen=True)
class Standing:
    """How far one training is, or a network that was given.

    Attributes
    ----------
    title
        In words.
    n_networks
        One a fold; None where that is not known before its faces are cut.
    state
        In words: what is there of it.
    networks
        Where all of them are there, with what they explain; else empty.
    """

    title: str
    n_networks: int | None
    state: str
    networks: tuple[StudyNetwork, ...] = ()


def standings(study: Study) -> list[Standing]:
    """How far each training of a study is, and each network that was given.

    Raises
    ------
    InputError
        If a source or network is not what the job says.
    """
    trained = [_of_training(varied, config) for varied, config in study.trainings]
    return trained or [_of_given(study, spec) for spec in study.config.networks]


def known_cells(study: Study, found: Sequence[Standing]) -> list[Cell]:
    """The cells of all networks that are there; those that are done say so.

    Parameters
    ----------
    study
        As it was read.
    found
        What `standings` found.

    Raises
    ------
    InputError
        If it names an input that no network was tested on.
    """
    networks = [network for one in found for network in one.networks]
    if networks and all(one.networks for one in found):
        check_inputs(networks, study.config.runs.choose)
    return planned_cells(study, Store(study.config.output), networks, write=False)


def _of_training(varied: Mapping[str, object], config: TrainConfig) -> Standing:
    shown = ", ".join(f"{key}={value}" for key, value in varied.items())
    title = f"{config.name} ({shown})" if shown else config.name
    stated = {"folds": config.split.k, "holdout": 1}.get(config.split.kind)
    left = left_by(config)
    if left is None:
        return Standing(title, stated, "not begun")
    n, done = len(left.jobs), len(left.folds)
    if done < n:
        return Standing(title, n, f"{done} of {n} folds are trained" if n > 1 else "begun, not trained")
    if not Store(config.output).exists(f"{left.crops.folder}/crops.json"):
        return Standing(title, n, "trained; its crops were removed and will be cut again")
    try:
        return Standing(title, n, "trained", tuple(of_training(config.output, left, varied)))
    except InputError:  # killed between the last fold and the networks of all
        return Standing(title, n, "trained; its networks are not written yet")


def _of_given(study: Study, spec: ModelSpec) -> Standing:
    job, model = given_job(study, spec), resolve(spec)
    store = Store(study.config.output)
    crops = join(store.uri, crops_folder([source_of(job, job.faces.size or model.preprocessing.size)]))
    if not Store(crops).exists("crops.json"):
        return Standing(model.model_id, 1, "the faces of its source are not cut yet")
    if not store.exists(f"{ANSWERS}/{digest([crops.rsplit('/', 1)[-1], model.digest])}.parquet"):
        return Standing(model.model_id, 1, "it has not answered yet")
    network = given_network(store, job, model, crops, LabelSettings(**asdict(job.labels)), start=lambda: 1)
    return Standing(model.model_id, 1, "ready", (network,))


def waiting_networks(found: Sequence[Standing]) -> Iterator[str]:
    """Titles of networks that are not there yet, as far as their number is known.

    Parameters
    ----------
    found
        What `standings` found.
    """
    for one in found:
        n = 0 if one.networks or one.n_networks is None else one.n_networks
        yield from (one.title if n == 1 else f"{one.title}, fold {fold}" for fold in range(n))
