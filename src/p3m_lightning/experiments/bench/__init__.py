"""Benchmarks: speed, size and error, each against a published procedure."""
