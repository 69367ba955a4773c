"""Trains and evaluates networks of `keras_resnet`; run from a checkout, never installed."""

import os

from train import requirements

# TensorFlow reads it when it is imported; its notes on CPU features are not for every run.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

requirements.check()
