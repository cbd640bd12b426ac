"""`p3m gan`: train StyleMatteGAN, and sample from it."""

VERBS = {
    "train": "train a generator of RGBA portraits (Hydra overrides)",
    "sample": "generate RGBA portraits with the protocol of the authors",
}
