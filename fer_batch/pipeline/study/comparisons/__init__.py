"""Comparisons over a study, a module each; `comparison.COMPARISONS` names them."""
