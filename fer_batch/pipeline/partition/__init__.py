"""What is made of a whole partition once its shards are published."""
