"""Experiments built from trainings and evaluations: sweeps, comparisons, PPT, the cycle, benchmarks."""
