"""Where images and labels come from: files on disk become examples, and examples batches."""

from train.datasets.splits import load, splits

__all__ = ["load", "splits"]
