"""`p3m bench gpu`: training, prediction, loading, processes and generation on a GPU, measured in one call."""
