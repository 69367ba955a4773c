"""Where images and labels come from: files on disk become examples, and examples batches.

Augmentation is not known here: batches take a function that changes an image.
"""

from train.datasets.splits import load, splits

__all__ = ["load", "splits"]
