"""Exports, and the programs that serve and use them; independent of Keras and this library."""
