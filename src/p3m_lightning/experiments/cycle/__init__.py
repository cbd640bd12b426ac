"""Cycle between StyleMatte and StyleMatteGAN: mattes teach a generator, its portraits teach the network."""
