"""Spectral relevance analysis: the maps of one target in one sequence, clustered (methods 9)."""

from fer_batch.spray.clustering import cluster
from fer_batch.spray.means import cluster_means, exemplars

__all__ = ["cluster", "cluster_means", "exemplars"]
