"""Determines which network a file of weights contains."""

__all__ = ["authority", "images_and_labels", "proof"]
