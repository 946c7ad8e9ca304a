"""Responses: parsing the body as JSON, and what their representation shows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_twilio.api.response import Response
from tests.support.responses import json_response


@pytest.mark.parametrize(
    ("body", "value"),
    [
        pytest.param(
            b'{"a": [1, -0.5, null], "b": "\xc3\xbc\\ud83d\\ude80"}', {"a": [1, -0.5, None], "b": "ü🚀"}, id="typical"
        ),
        pytest.param(b'{"a": 12345678901234567890123}', {"a": 12345678901234567890123}, id="long number"),
        pytest.param(b'{"a": "cut: \\ud83d"}', {"a": "cut: \ud83d"}, id="lone surrogate"),
        pytest.param(b'\xef\xbb\xbf{"a": 1}', {"a": 1}, id="byte order mark"),
        pytest.param(b'{"a": 1e999}', {"a": float("inf")}, id="out of range"),
        pytest.param(b"1" * 5000, None, id="too long a number"),
        pytest.param(b"", None, id="empty"),
        pytest.param(b'{"a": 1', None, id="cut"),
        pytest.param(b'{"a": 1} {"b": 2}', None, id="two"),
        pytest.param(b'{"a": "\xff"}', None, id="not UTF-8"),
        pytest.param(b"<html></html>", None, id="HTML"),
        pytest.param(b"[" * 100_000, None, id="deep"),
    ],
)
def test_response_json_parses_body_or_returns_none(body: bytes, value: object):
    assert Response(200, {}, body).json() == value


@pytest.mark.parametrize("show", [str, repr])
def test_response_repr_omits_body(show: Callable[[Any], str]):
    assert "secret" not in show(json_response({"body": "secret words"}))
