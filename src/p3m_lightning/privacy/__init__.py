"""Faces in data sets: finding them, obfuscating a folder of portraits, and auditing the result."""
