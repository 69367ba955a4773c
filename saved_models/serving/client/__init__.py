"""The client of a server; it needs neither Keras nor TensorFlow."""
