"""The handlers of API requests: one module for each resource."""
