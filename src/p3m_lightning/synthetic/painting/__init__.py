"""Painting with coverage: plates, light, cloth, and body coordinates."""
