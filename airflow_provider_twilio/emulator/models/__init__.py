"""The emulated resources: dataclasses whose state depends on time. They know nothing of HTTP."""
