"""A stand-in for TensorFlow Serving: its gRPC and REST interfaces over TensorFlow's C++ loader."""
