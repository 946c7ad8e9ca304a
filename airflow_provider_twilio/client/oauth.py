"""OAuth client credentials: https://www.twilio.com/docs/iam/oauth-apps. What both clients share of it."""

from __future__ import annotations

from datetime import timedelta

from airflow_provider_twilio.api.core import Field, Record, Request
from airflow_provider_twilio.client.settings import OAuth

MARGIN = timedelta(seconds=60)
"""How long before its end a token is renewed."""


class Token(Record):
    """Hold an access token. Its repr doesn't show it."""

    access_token = Field(str)
    token_type = Field(str)
    expires_in = Field(int)

    @property
    def header(self) -> str:
        return f"Bearer {self.access_token}"

    def ends(self, now: float) -> float:
        """Give the moment, on the clock that gave ``now``, from which it should be renewed."""
        lifetime = self.expires_in or 0
        return now + lifetime - min(MARGIN.total_seconds(), lifetime / 2)


def request(auth: OAuth) -> Request[Token]:
    """Ask for an access token."""
    data = (("grant_type", "client_credentials"), ("client_id", auth.client_id), ("client_secret", auth.secret))
    return Request("POST", "https://oauth.twilio.com/v2/token", Token, data)
