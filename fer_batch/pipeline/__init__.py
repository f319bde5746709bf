"""The rooms wired to the engine: Ray Data explains, Dask tells the stories, one command runs it all."""
