"""Limits of a machine: its ceilings, the distance of networks from them, growth of cost, and the price of precision."""
