"""The rooms wired to the engine: Ray Data explains, Dask tells the temporal prototypes, one command runs it all."""
