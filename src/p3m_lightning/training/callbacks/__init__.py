"""Callbacks of training runs."""
