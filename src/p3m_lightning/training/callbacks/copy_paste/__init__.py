"""Copy and paste of faces (P3M-CP) in training: features, and a sheet of pasted images."""
