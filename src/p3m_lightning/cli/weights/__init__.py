"""`p3m weights`: published checkpoints."""

VERBS = {
    "list": "list the published checkpoints of the networks",
    "convert": "turn a published checkpoint into one of this package",
    "average": "average the weights of several trainings of one network",
}
