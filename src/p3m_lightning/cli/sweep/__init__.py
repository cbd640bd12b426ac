"""`p3m sweep`: sweeps that others run; `p3m train -m` runs them itself."""

VERBS = {
    "wandb": "write a W&B sweep from the keys that vary, for `wandb sweep` and `wandb agent`",
}
