"""`p3m quality`: finding mattes that look wrong without ground truth."""

VERBS = {
    "rank": "rank a folder of mattes by how wrong they look, worst first",
    "train": "train the network that judges mattes (Hydra overrides)",
}
