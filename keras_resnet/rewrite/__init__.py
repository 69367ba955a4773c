"""Rewrites of a model's graph: folded normalizations, and quantization to int8."""

__all__ = ["fold", "graph", "int8"]
