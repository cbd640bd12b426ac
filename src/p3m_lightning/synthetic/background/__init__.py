"""Backgrounds of rendered portraits: flat ones, and places."""
