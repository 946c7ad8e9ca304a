"""The credentials that an emulator accepts from its start."""

from __future__ import annotations

from dataclasses import dataclass
from secrets import token_hex

ACCOUNT_SID = "AC" + "e" * 31 + "1"
AUTH_TOKEN = "e1" * 16
MAIN_KEY = ("SK" + "e" * 31 + "1", "main-key-secret")
STANDARD_KEY = ("SK" + "e" * 31 + "2", "standard-key-secret")
RESTRICTED_KEY = ("SK" + "e" * 31 + "3", "restricted-key-secret")
OAUTH_CLIENT = ("OQ" + "e" * 31 + "1", "oauth-client-secret")
TEST_ACCOUNT_SID = "AC" + "e" * 31 + "2"
TEST_AUTH_TOKEN = "e2" * 16


@dataclass(frozen=True, slots=True)
class Credentials:
    """The secrets of an emulator. The SIDs that they belong to are always the same."""

    auth_token: str = AUTH_TOKEN
    main_key: tuple[str, str] = MAIN_KEY
    standard_key: tuple[str, str] = STANDARD_KEY
    restricted_key: tuple[str, str] = RESTRICTED_KEY
    oauth_client: tuple[str, str] = OAUTH_CLIENT
    test_auth_token: str = TEST_AUTH_TOKEN

    @classmethod
    def random(cls) -> Credentials:
        """Return credentials with new secrets."""
        return cls(
            auth_token=token_hex(16),
            main_key=(MAIN_KEY[0], token_hex(16)),
            standard_key=(STANDARD_KEY[0], token_hex(16)),
            restricted_key=(RESTRICTED_KEY[0], token_hex(16)),
            oauth_client=(OAUTH_CLIENT[0], token_hex(16)),
            test_auth_token=token_hex(16),
        )
