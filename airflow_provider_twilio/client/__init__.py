"""HTTP clients: settings, guards, preparation of requests, and a blocking and an asynchronous client."""
