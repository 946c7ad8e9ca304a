"""Faults and quirks that the page offers, with their labels."""

from __future__ import annotations

from typing import Any

FAULTS: dict[str, dict[str, Any]] = {
    "429 with Retry-After: 2": {"status": 429, "retry_after": 2},
    "429 without Retry-After": {"status": 429},
    "500 Internal Server Error": {"status": 500},
    "503 Service Unavailable": {"status": 503},
    "502 with an HTML page": {"html": True},
    "200 with an empty body": {"empty": True},
    "401 Authenticate": {"status": 401},
    "Drop the connection": {"drop": True},
    "Process, then drop the connection": {"accept_then_drop": True},
    "Process, then respond with 503": {"accept_then_status": 503},
    "Process, then respond after 30 s": {"accept_then_stall": 30},
    "Process, then truncate the response": {"cut": True},
}
"""Faults by label, as the control API accepts them."""
REQUEST_FILTERS: dict[str, dict[str, Any]] = {
    "All requests": {},
    "Send a message": {"method": "POST", "path": "/Messages.json"},
    "Make a call": {"method": "POST", "path": "/Calls.json"},
    "GET requests": {"method": "GET"},
}
"""Requests that a fault can be limited to, by label."""
QUIRKS: dict[str, tuple[str, tuple[str, ...]]] = {
    "latency": ("Response latency (s)", ()),
    "jitter": ("Additional latency, up to (s)", ()),
    "concurrency": ("Concurrent requests before 429", ()),
    "list_lag": ("List lag of new records (s)", ()),
    "fetch_lag": ("404 for new SIDs (s)", ()),
    "status_lag": ("Status lag (s)", ()),
    "price_lag": ("Price lag (s)", ()),
    "unsent": ("Unsent messages in lists", ("date_created", "first", "last")),
    "page_token_life": ("PageToken lifetime (s)", ()),
    "callbacks": ("Callback destinations", ("local", "any", "none")),
    "callback_copies": ("Copies of each callback", ()),
    "callback_order": ("Callback order", ("kept", "reversed")),
    "trial": ("Trial account", ()),
    "whatsapp_window": ("WhatsApp 24-hour window", ()),
}
"""Label of each quirk, and its values where these are words."""
