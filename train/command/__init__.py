"""The command line of training: its flags, its help, and what it does besides training."""
