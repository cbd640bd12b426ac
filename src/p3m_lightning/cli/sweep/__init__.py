"""`p3m sweep`: sweeps run by other programs; `p3m train -m` runs its own."""

VERBS = {
    "wandb": "write a W&B sweep from the keys that vary, for `wandb sweep` and `wandb agent`",
}
