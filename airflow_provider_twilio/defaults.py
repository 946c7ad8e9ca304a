"""Defaults that operators and the runtime share."""

from __future__ import annotations

DRY_RUN = "dry-run"
"""The status of what was not sent, since the connection says so."""


RECONCILE_TIMEOUT = 30.0
"""Seconds beyond the time-out after which a request that is in no list was never carried out."""


OVERLAP = 300.0
"""Seconds by which a message may show late in Twilio's list."""


LOOKBACK = 3600.0
"""Seconds before its start of which one reads who has read nothing yet."""
