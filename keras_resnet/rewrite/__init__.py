"""Graph in, graph out: folded normalizations, and int8 arithmetic."""
