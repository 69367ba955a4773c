"""Measures trained networks: protocols of cropping, ensembles, tables and pictures."""
