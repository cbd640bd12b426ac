"""Prediction of a folder of photographs by several processes."""
