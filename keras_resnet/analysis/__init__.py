"""Functions of a model: cost, memory, and Grad-CAM."""

__all__ = ["cost", "grad_cam", "memory"]
