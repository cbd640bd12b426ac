"""Experiments made of trainings and evaluations: sweeps, comparisons, PPT, the cycle, benchmarks."""
