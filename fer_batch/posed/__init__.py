"""The demo's own faces: a public-domain portrait, animated with known Action Units."""
