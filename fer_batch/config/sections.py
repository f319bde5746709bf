"""What the sections of every job share: names, places and the source."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from fer_batch.media.sampling import Sampling


def _path_name(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", value):
        raise ValueError(f"becomes part of a path: letters, digits, '_', '.', '-' only, got {value!r}")
    return value


def _output_given(value: Any) -> Any:
    if value in (None, ""):
        raise ValueError("name the output folder, for example --output OUT")
    return value


def same_place(one: str, other: str) -> bool:
    """Whether two paths lead to one folder, however they are spelled; URLs are taken as they are."""
    return real_place(one) == real_place(other)


def real_place(uri: str) -> str:
    """What a folder is known by: its real path, or its URL without a slash at the end."""
    path = uri.removeprefix("file://")
    return uri.rstrip("/") if "://" in path else os.path.realpath(os.path.expanduser(path))


PathName = Annotated[str, AfterValidator(_path_name)]
Output = Annotated[str, BeforeValidator(_output_given)]


class Section(BaseModel):
    """A frozen part of a job that refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class SourceConfig(Section):
    """Where the inputs are."""

    format: str = "videos"
    uri: str
    pattern: tuple[str, ...] = ()
    columns: dict[str, str] = {}  # of a manifest: our name of a column to the name it has there
    options: dict[str, Any] = {}  # of the format (docs/datasets.md)
    allow: tuple[str, ...] = ()  # roots, beside its own folder, that a manifest may name inputs below (SECURITY.md)
    sampling: Sampling = Sampling()

    @property
    def keywords(self) -> Mapping[str, object]:
        """What the listing of the format is given."""
        own = {"columns": self.columns, "allow": self.allow}
        return {**self.options, **{name: value for name, value in own.items() if value}}

    @field_validator("pattern", "allow", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else () if value is None else value

    @field_validator("uri", mode="before")
    @classmethod
    def _given(cls, value: Any) -> Any:
        if value in (None, ""):
            raise ValueError("name the folder of your media, for example --set source.uri=DIR")
        return value


class Resources(Section):
    """What a job may take to decode and to run its network; nothing here changes a result."""

    num_cpus: PositiveInt | None = None  # embedded Ray only; all cores where not given
    device: Literal["auto", "cpu", "cuda"] = "auto"  # auto: GPUs where there are any, or nodes with some may be started
    num_gpus: NonNegativeFloat | None = None  # of each process that runs a network; one where it runs on GPUs
    window: PositiveInt | None = None  # units of one pipeline, at most; as many as the driver can keep where not given
    decode_timeout_s: PositiveFloat = 60.0  # without a frame
    decode_memory_mb: PositiveInt = 3072

    @model_validator(mode="after")
    def _whole_gpus(self) -> Self:
        gpus = self.num_gpus
        if gpus is not None and gpus > 1 and gpus != int(gpus):
            raise ValueError(f"num_gpus: a part of one GPU or a whole number of them, got {gpus:g}")
        if gpus == 0 and self.device == "cuda":
            raise ValueError("num_gpus: 0 is device: cpu, not cuda")
        return self
