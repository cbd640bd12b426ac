"""Verbs about the installation itself: what is installed, its licenses, and shell completion."""
