"""Parts of several verbs: Hydra, processes, sweeps, and options."""
