"""The operators, by resource."""
