"""What a batch means: targets, losses and metrics."""
