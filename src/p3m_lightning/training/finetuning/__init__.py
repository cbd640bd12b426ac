"""Fine-tuning: what it starts from, what is kept as it was, and what was won and lost by it."""
