"""Experiments with trained networks. Stands above the rest of `train/`, which does not need it."""
