"""What a batch means: targets, loss, metrics, and the metric by which networks are compared."""
