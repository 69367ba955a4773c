"""A client of TensorFlow Serving that needs neither Keras nor TensorFlow's Python."""
