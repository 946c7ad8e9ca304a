"""Defaults that operators and the runtime share."""

from __future__ import annotations

DRY_RUN = "dry-run"
"""Status of a record whose request was not sent, because the connection is in dry-run mode."""


RECONCILE_TIMEOUT = 30.0
"""Seconds after the connection timeout until a request that Twilio does not list counts as not sent."""


OVERLAP = 300.0
"""Maximum delay of a message in Twilio's list, in seconds."""


LOOKBACK = 3600.0
"""How far back the first poll for incoming messages reads, in seconds."""
