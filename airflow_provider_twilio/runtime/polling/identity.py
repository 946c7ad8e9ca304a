"""The identity of a client's access to Twilio: which waits may share a poll."""

from __future__ import annotations

import hashlib
import secrets
from typing import TYPE_CHECKING

from airflow_provider_twilio.client.prepare import build_url

if TYPE_CHECKING:
    from airflow_provider_twilio.client.settings import Settings

_KEY = secrets.token_bytes(32)
"""Key of the hashes: a new one for each process, so that a hash in a log or core dump confirms no guess."""


def access_identity(settings: Settings) -> str:
    """Return a keyed hash of the settings that determine which records a client may read, and from where.

    Two connections with the same identity are interchangeable for polling. Their names may differ.
    """
    access = (
        type(settings.auth).__name__,
        settings.auth.user,
        settings.auth.secret,
        settings.account_sid,
        build_url(settings, "/{AccountSid}"),
        settings.region,
        settings.edge,
        settings.proxy,
        settings.verify,
        settings.cert,
        settings.validate,
    )
    return hashlib.blake2b(repr(access).encode(), key=_KEY, digest_size=16).hexdigest()
