"""`p3m quality`: a score without truth for mattes."""

VERBS = {
    "rank": "rank a folder of mattes by how wrong they look, worst first",
    "train": "learn to tell how wrong a matte is (Hydra overrides)",
}
