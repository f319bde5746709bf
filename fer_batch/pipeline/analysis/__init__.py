"""Phase 2 on Dask: which units share a shard, and what is made of each of their sequences."""
