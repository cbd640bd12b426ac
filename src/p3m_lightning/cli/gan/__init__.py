"""`p3m gan`: train StyleMatteGAN, and sample from it."""

VERBS = {
    "train": "learn to generate RGBA portraits (Hydra overrides)",
    "sample": "generate RGBA portraits by the authors' protocol",
}
