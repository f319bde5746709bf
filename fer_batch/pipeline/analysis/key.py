"""`analysis_id`: what phase 2 was asked for, and by which version of it."""

from __future__ import annotations

from fer_batch.config import RunConfig, TemporalPrototypesConfig
from fer_batch.storage.manifest import digest

ANALYSIS = 4  # what phase 2 makes of equal options; a new number has published shards analysed again


def analysis_key(config: RunConfig, version: int = ANALYSIS) -> str:
    """`analysis_id`: every option of phase 2 that changes its tables, and the version of what it does with them."""
    options: dict[str, object] = {"spray": config.spray.model_dump(mode="json"), "regions": config.regions}
    of_patterns = {"max_pattern", "relation"}  # which change table patterns alone
    changed = config.temporal_prototypes.model_dump(mode="json", exclude=of_patterns)
    if changed != TemporalPrototypesConfig().model_dump(mode="json", exclude=of_patterns):
        options["stories"] = changed  # as the section was called when the first ids were made
    if version > 1:
        options["version"] = version
    return digest(options)
