"""Verbs about the installation itself: what is there, what it is licensed under, what a shell may complete."""
