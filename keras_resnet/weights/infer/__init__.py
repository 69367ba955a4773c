"""What network a file of weights holds: what it proves, states, and leaves to others."""
