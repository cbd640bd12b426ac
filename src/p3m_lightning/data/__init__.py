"""Data sets of portraits and mattes: read, rendered, checked, anonymized, and turned into batches."""
