"""Limits of a machine: its peak rates, how close networks come to them, scaling, and the cost of precision."""
