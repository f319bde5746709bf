"""Trainings on Ray: crops and labels of the folds, workers, tables."""
