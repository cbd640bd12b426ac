"""Backgrounds of rendered portraits: flat backdrops and places."""
