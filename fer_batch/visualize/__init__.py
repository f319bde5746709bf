"""Pictures of relevance, clusters and temporal prototypes: arrays in, arrays or figures out."""
