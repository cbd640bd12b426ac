"""From samples to batches: which samples, in which order, and how they reach the training process."""
