"""Functions of a model: cost, memory, and Grad-CAM."""
