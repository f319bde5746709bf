"""Phase 3: the pages of an output, from its published tables."""

DRAWING = 4  # a new number has the pages of unchanged sequences drawn again
