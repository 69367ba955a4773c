"""The command `keras-resnet`: predict, list, info and cost.

Help, `list` and the summary of `cost` import neither Keras nor TensorFlow.
"""

__all__ = ["entry"]
