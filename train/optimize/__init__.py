"""From a batch to new weights: the step, the update, optimizers, schedules and statistics."""
