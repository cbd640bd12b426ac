"""Sweeps: one study, many jobs, one report."""
