"""Object storage: table schemas, Parquet files, markers and plans."""
