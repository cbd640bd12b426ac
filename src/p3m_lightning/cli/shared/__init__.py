"""What several verbs share: Hydra, processes, and the options that name a network."""
