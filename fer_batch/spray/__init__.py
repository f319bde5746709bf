"""Spectral relevance analysis: the maps of one target in one sequence, clustered (methods 9)."""

from fer_batch.spray.clustering import cluster
from fer_batch.spray.means import cluster_means, exemplars
from fer_batch.spray.sequence import cluster_sequence

__all__ = ["cluster", "cluster_means", "cluster_sequence", "exemplars"]
