"""OAuth client credentials, shared by both clients: https://www.twilio.com/docs/iam/oauth-apps."""

from __future__ import annotations

from typing import Any

from airflow_provider_twilio.api.outcomes import error_for_unreadable
from airflow_provider_twilio.api.records import Field, Record
from airflow_provider_twilio.api.request import Request
from airflow_provider_twilio.api.response import Response
from airflow_provider_twilio.client.settings import Settings

EXPIRY_MARGIN = 60.0
"""Seconds before its expiry at which a token is renewed; half of its lifetime if that is shorter."""


class Token(Record):
    """An access token. Its repr does not show the token."""

    access_token = Field(str)
    expires_in = Field(float)

    @classmethod
    def parse(cls, request: Request[Any], response: Response) -> Token:
        """Return the token in a response.

        :raises ServerError: If the response has no token. Later requests would fail with a misleading error.
        """
        token = super().parse(request, response)
        if not isinstance(token, Token) or not isinstance(token.get("access_token"), str):
            raise error_for_unreadable(request, response, "an object without access_token")
        return token

    @property
    def header(self) -> str:
        return f"Bearer {self.access_token}"

    def expires_at(self, now: float) -> float:
        """Return when the token should be renewed, on the clock that ``now`` was read from."""
        try:
            lifetime = max(0.0, self.expires_in or 0.0)
        except ValueError:
            lifetime = 0.0
        return now + max(lifetime - EXPIRY_MARGIN, lifetime / 2)


def token_request(settings: Settings) -> Request[Token]:
    """Return the request for an access token."""
    data = (
        ("grant_type", "client_credentials"),
        ("client_id", settings.auth.user),
        ("client_secret", settings.auth.secret),
    )
    return Request("POST", "https://oauth.twilio.com/v2/token", Token, data)
