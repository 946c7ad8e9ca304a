"""Send a request exactly once, across retries, crashes and lost responses."""
