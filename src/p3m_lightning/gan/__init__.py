"""StyleMatteGAN: generator, discriminators, losses, distances, data, training and sampling."""
