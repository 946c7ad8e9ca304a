"""What is read of an answer's body."""

from __future__ import annotations

import pytest

from airflow_provider_twilio.api.response import Response


@pytest.mark.parametrize(
    ("body", "value"),
    [
        pytest.param(
            b'{"a": [1, -0.5, null], "b": "\xc3\xbc\\ud83d\\ude80"}', {"a": [1, -0.5, None], "b": "ü🚀"}, id="usual"
        ),
        pytest.param(b'{"a": 12345678901234567890123}', {"a": 12345678901234567890123}, id="long number"),
        pytest.param(b'{"a": "half a rocket: \\ud83d"}', {"a": "half a rocket: \ud83d"}, id="half a character"),
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
def test_a_body_that_others_take_for_json_is_read(body: bytes, value: object):
    assert Response(200, {}, body).json() == value
