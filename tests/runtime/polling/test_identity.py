"""The identity of a client's access to Twilio."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_twilio.client.settings import Basic, OAuth, Settings
from airflow_provider_twilio.runtime.polling.identity import access_identity

ACCOUNT = "AC" + "0" * 32
SETTINGS = Settings(ACCOUNT, Basic(ACCOUNT, "the secret"), conn_id="one")


@pytest.mark.parametrize(
    "fields",
    [
        {"auth": Basic(ACCOUNT, "another secret")},
        {"auth": Basic("SK" + "0" * 32, "the secret")},
        {"auth": OAuth(ACCOUNT, "the secret")},
        {"account_sid": "AC" + "1" * 32},
        {"base": "http://localhost:1"},
        {"region": "ie1"},
        {"region": "ie1", "edge": "dublin"},
        {"proxy": "http://proxy:3128"},
        {"verify": False},
        {"verify": "/etc/ca.pem"},
        {"cert": ("/etc/client.pem",)},
    ],
    ids=str,
)
def test_access_identity_depends_on_what_a_client_may_read(fields: dict[str, Any]):
    assert access_identity(replace(SETTINGS, **fields)) != access_identity(SETTINGS)


@pytest.mark.parametrize(
    "fields", [{}, {"conn_id": "two"}, {"retries": 0}, {"timeout": 5.0}, {"dry_run": True}], ids=str
)
def test_access_identity_ignores_names_and_limits(fields: dict[str, Any]):
    assert access_identity(replace(SETTINGS, **fields)) == access_identity(SETTINGS)


def test_access_identity_does_not_contain_the_secret():
    assert "secret" not in access_identity(SETTINGS)
