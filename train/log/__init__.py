"""What people see of a run: progress lines, metrics, a profile, and the curves of the metrics."""
