"""Preparing a data set before training: checking it, estimating foregrounds, packing pixels."""
