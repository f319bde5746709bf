"""The job file: read once into a frozen model, unknown keys refused with the nearest known one.

A section is the settings class of the room that uses it; no setting is declared here again.
"""

from fer_batch.config.run import CHOICES, LooksConfig, RunConfig, TemporalPrototypesConfig, build, build_all, read_jobs
from fer_batch.config.sections import real_place
from fer_batch.config.study import Choose, Study, StudyConfig, read_study
from fer_batch.config.train import NetworkConfig, TrainConfig, TrainSourceConfig, build_train, read_train_job

__all__ = [
    "CHOICES",
    "Choose",
    "LooksConfig",
    "NetworkConfig",
    "RunConfig",
    "Study",
    "StudyConfig",
    "TemporalPrototypesConfig",
    "TrainConfig",
    "TrainSourceConfig",
    "build",
    "build_all",
    "build_train",
    "read_jobs",
    "read_study",
    "read_train_job",
    "real_place",
]
