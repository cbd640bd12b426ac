"""Painting with coverage: plates, light, cloth, and where a body stands."""
