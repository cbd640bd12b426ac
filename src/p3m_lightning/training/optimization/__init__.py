"""Learning rates, their schedules, and optimizers."""
