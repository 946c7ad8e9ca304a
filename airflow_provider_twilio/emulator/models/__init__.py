"""The emulated resources, as dataclasses whose state depends on time.

They know nothing of HTTP.
"""
