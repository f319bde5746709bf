"""Where inputs come from: listings of folders and manifests, and their ground truth.

Every format is registered when this package is imported.
"""

from fer_batch.sources import crops, datasets, folders, manifest

__all__ = ["crops", "datasets", "folders", "manifest"]
