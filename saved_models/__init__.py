"""The way out: exports, and what serves them."""
