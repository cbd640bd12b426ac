"""The cycle between StyleMatte and StyleMatteGAN."""
