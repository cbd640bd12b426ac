"""Side-by-side comparison of runs."""
