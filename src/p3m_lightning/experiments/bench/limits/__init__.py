"""What a machine allows: its ceilings, how far from them networks run, how cost grows, and what precision costs."""
