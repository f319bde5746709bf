"""What workers refuse is refused in their words."""

from types import SimpleNamespace

import pytest
import ray

from fer_batch.pipeline.study.computed import _result
from fer_batch.types import InputError


def fetched(cause):
    def get(done):
        raise ray.exceptions.RayTaskError("check", "a traceback of many lines", cause).as_instanceof_cause()

    return _result(SimpleNamespace(get=get, exceptions=ray.exceptions), None)


def test_a_refusal_is_one_sentence_and_a_fault_keeps_its_traceback():
    with pytest.raises(InputError, match=r"^no such layer$"):
        fetched(InputError("no such layer"))
    with pytest.raises(ray.exceptions.RayTaskError, match="a traceback of many lines"):
        fetched(KeyError("x"))
