"""Losses, augmentation and the loop that fits a network; the demonstration models and how they were made."""
