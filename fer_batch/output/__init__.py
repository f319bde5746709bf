"""What is asked of an output: its tables, SQL, status, retries and records of runs."""
