"""Protocols made of the floors below: benchmarks."""
