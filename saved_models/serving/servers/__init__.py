"""Exports in model servers: NVIDIA's Triton, KServe, and a stand-in for TensorFlow Serving."""
