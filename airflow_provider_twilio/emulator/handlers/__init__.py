"""The handlers of API requests: one module for each resource, with its routes, parameters and JSON form."""
