"""Storage of a data set's pixels: layouts, files, packs, and fingerprints of their content."""
