"""Determines which network a file of weights contains."""
