"""`p3m bench gpu`: what a GPU makes of training, prediction, loading, processes and generation, in one call."""
