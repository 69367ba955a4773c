"""Exports a trained network to files that run without Keras: SavedModel, TFLite, ONNX, OpenVINO."""

__all__ = ["calibration", "formats", "job", "report"]
