"""Twilio's error codes: meanings and explanations."""

from __future__ import annotations

from airflow_provider_twilio.api import codes


def test_explain_names_meaning_page_and_whether_to_resend():
    assert codes.explain(30003).startswith("error 30003: the handset is unreachable")
    assert "resending can help" in codes.explain(30003)
    assert "resending does not help" in codes.explain(30003, frozenset())
    assert codes.explain(99999).endswith("See https://www.twilio.com/docs/api/errors/99999")


def test_meanings_cover_every_code_with_special_handling():
    acted_on = codes.OPTED_OUT | codes.RETRY_LATER | codes.PERMISSION | codes.RESENDABLE
    assert acted_on - set(codes.MEANINGS) <= {22005}
    assert all(meaning[0].islower() or meaning.startswith(("Twilio", "Meta")) for meaning in codes.MEANINGS.values())
