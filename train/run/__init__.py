"""Where a training runs, and what it leaves on disk."""
