"""Studies: trainings, networks and explanations as a grid of cells, and what is compared over it."""
