"""The notifier, and what it is made of."""
