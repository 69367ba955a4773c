"""Readers of file formats; they run no code of a file, and check sizes before they allocate."""
