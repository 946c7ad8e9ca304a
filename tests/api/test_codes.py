"""Twilio's error codes: meanings and explanations."""

from __future__ import annotations

import pytest

from airflow_provider_twilio.api import codes


def test_explain_names_meaning_page_and_whether_to_resend():
    assert codes.explain(30003).startswith("error 30003: the handset is unreachable")
    assert "resending can help" in codes.explain(30003)
    assert "resending does not help" in codes.explain(30003, frozenset())
    assert codes.explain(99999).endswith("See https://www.twilio.com/docs/api/errors/99999")


def test_meanings_cover_every_code_with_special_handling():
    acted_on = codes.OPTED_OUT | codes.RETRY_LATER | codes.PERMISSION | codes.RESENDABLE | codes.SENDER_WIDE
    acted_on |= codes.CAPS | codes.RESEND_WHEN.keys() | codes.REMEDIES.keys()
    assert acted_on <= set(codes.MEANINGS)
    assert all(meaning[0].islower() or meaning.startswith(("Twilio", "Meta")) for meaning in codes.MEANINGS.values())


@pytest.mark.parametrize("code", [30017, 30020, 30021, 30035, 30047, 30450, 63009, 63012, 63017, 63041])
def test_explain_temporary_failure_says_resending_can_help(code):
    assert "; resending can help" in codes.explain(code)
    assert "can help only" not in codes.explain(code)


def test_explain_daily_cap_says_when_resending_can_help():
    assert "resending can help only after midnight" in codes.explain(30023)


@pytest.mark.parametrize("code", [30004, 30005, 30006, 30007, 30032, 30033, 30034, 63032, 63040, 63042])
def test_explain_permanent_failure_says_resending_does_not_help(code):
    assert code in codes.MEANINGS
    assert "resending does not help" in codes.explain(code)


@pytest.mark.parametrize("code", [10004, 20409, 21479, 21659, 21704, 21705, 21712, 30450, 63043])
def test_explain_has_meaning_of_recorded_code(code):
    assert "Twilio's page explains" not in codes.explain(code)


def test_sender_wide_errors_exclude_those_of_recipient():
    assert {21606, 21659, 21701, 21704, 63007} <= codes.SENDER_WIDE
    assert not codes.SENDER_WIDE & {21211, 21408, 21610, 21612, 21614, 21703, 63003}
