"""OAuth client credentials: https://www.twilio.com/docs/iam/oauth-apps. What both clients share of it."""

from __future__ import annotations

from typing import Any

from airflow_provider_twilio.api.outcomes import error_for_unreadable
from airflow_provider_twilio.api.records import Field, Record
from airflow_provider_twilio.api.request import Request
from airflow_provider_twilio.api.response import Response
from airflow_provider_twilio.client.settings import Settings

EXPIRY_MARGIN = 60.0
"""How many seconds before its end a token is renewed, unless it is so short-lived that half of its life is less."""


class Token(Record):
    """Hold an access token. Its repr doesn't show it."""

    access_token = Field(str)
    expires_in = Field(float)

    @classmethod
    def parse(cls, request: Request[Any], response: Response) -> Token:
        """Read a token, which must be one: a request without it would be refused for another reason."""
        token = super().parse(request, response)
        if not isinstance(token, Token) or not isinstance(token.get("access_token"), str):
            raise error_for_unreadable(request, response, "an object without access_token")
        return token

    @property
    def header(self) -> str:
        return f"Bearer {self.access_token}"

    def expires_at(self, now: float) -> float:
        """Give the moment, on the clock that gave ``now``, from which it should be renewed."""
        try:
            lifetime = max(0.0, self.expires_in or 0.0)
        except ValueError:
            lifetime = 0.0
        return now + max(lifetime - EXPIRY_MARGIN, lifetime / 2)


def token_request(settings: Settings) -> Request[Token]:
    """Ask for an access token."""
    data = (
        ("grant_type", "client_credentials"),
        ("client_id", settings.auth.user),
        ("client_secret", settings.auth.secret),
    )
    return Request("POST", "https://oauth.twilio.com/v2/token", Token, data)
