"""Cycle between StyleMatte and StyleMatteGAN: mattes train a generator, its portraits train the network."""
