"""What a run refuses before it spends hours."""

import numpy as np
import pytest

from fer_batch.config import build
from fer_batch.pipeline.run import _check_relevance
from fer_batch.storage.manifest import Ledger
from fer_batch.types import InputError


def test_a_new_analysis_is_refused_where_too_few_maps_were_kept_whatever_the_job_says_now(world, golden):
    world.keep_relevance = "exemplars"
    world.stage("a", *golden.make(np.random.default_rng(0)))
    world.publish()
    values = {"name": "d", "source": {"uri": "in"}, "output": "out", "model": {"checkpoint": "demo"}}
    ledger = Ledger(world.store)
    with pytest.raises(InputError, match="keep_relevance: exemplars kept too few maps"):
        _check_relevance(build(values, "job"), list(ledger.shards), ledger)
    _check_relevance(build({**values, "keep_relevance": "exemplars"}, "job"), ["never published"], ledger)
