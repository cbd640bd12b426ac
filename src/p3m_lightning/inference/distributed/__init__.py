"""A folder of photographs shared by several processes."""
