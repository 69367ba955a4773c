"""What people watch while a run goes on, and what they read afterwards."""
