"""Encoders of P3M-Net: maps at strides 1 to 32, with the indices of their pools."""
