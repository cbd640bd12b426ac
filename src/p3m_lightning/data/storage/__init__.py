"""Where the pixels of a data set lie: layouts, files, packs, and fingerprints of their content."""
