"""Privacy-preserving training (PPT): trained on blurred or normal faces, tested on both."""
