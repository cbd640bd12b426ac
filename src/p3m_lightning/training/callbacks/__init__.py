"""Callbacks: what happens beside the steps of a training."""
