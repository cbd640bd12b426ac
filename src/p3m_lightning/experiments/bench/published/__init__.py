"""Transcriptions of what the published code does, which the benchmarks compare with."""
