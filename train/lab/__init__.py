"""What is made of trainings that are done; no other part of `train` imports it."""
