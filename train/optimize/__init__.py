"""From a batch to new weights: steps, updates, optimizers, schedules, moving statistics."""
