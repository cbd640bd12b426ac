"""From samples to batches: choice and order of samples, and their way to the training process."""
