"""Trains and evaluates networks of `keras_resnet`; run from a checkout, never installed."""
