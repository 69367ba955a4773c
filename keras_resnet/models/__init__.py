"""The public functions that build networks, and the flags of commands that name a network."""

from keras_resnet.models.doors import from_weights, resnet

__all__ = ["from_weights", "resnet"]
