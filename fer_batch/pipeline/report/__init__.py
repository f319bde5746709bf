"""Phase 3: the pages of an output, from its published tables."""

DRAWING = 4
