"""What a dataset, checkpoint or output is, without running anything."""
