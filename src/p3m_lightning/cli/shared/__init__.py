"""Parts that several verbs share: Hydra, processes, sweeps, and options."""
