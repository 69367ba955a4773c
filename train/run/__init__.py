"""Where a run lives: devices, memory, signals, and its directory on disk."""
