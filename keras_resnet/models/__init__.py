"""Doors: `resnet`, `from_weights`, a builder for each network, and the flags of commands."""

from keras_resnet.models.doors import from_weights, resnet

__all__ = ["from_weights", "resnet"]
