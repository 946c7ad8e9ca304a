"""Who the recipients are. Files are read in tests/operators/test_many.py."""

from __future__ import annotations

import random
import subprocess
import sys

import pytest

from airflow_provider_twilio.api.errors import BadParameter
from airflow_provider_twilio.bulk.rows import Seen, normalised

SAME = {
    "+14155550100": "+14155550100",
    " +1 (415) 555-0100 ": "+14155550100",
    "+44 20 7946 0958": "+442079460958",
    "whatsapp:+1 415.555.0100": "whatsapp:+14155550100",
    "WhatsApp:+14155550102": "whatsapp:+14155550102",
    "messenger:1234567": "messenger:1234567",
    "Messenger:aBc": "messenger:aBc",
}


@pytest.mark.parametrize(("given", "wanted"), SAME.items())
def test_one_number_is_written_one_way(given: str, wanted: str):
    assert normalised(given) == wanted
    assert normalised(wanted, checked=True) == wanted


@pytest.mark.parametrize(
    "given", ["", "   ", None, 14155550100, "4155550100", "+1415555", "+1 415 555 0100 00", "+abc"]
)
def test_what_is_no_number(given: object):
    with pytest.raises(BadParameter, match=r"^to is"):
        normalised(given)


def test_digits_of_another_script_are_written_as_ours():
    assert {normalised("+1４１５５５５０１００", checked) for checked in (False, True)} == {"+14155550100"}


def test_without_phonenumbers():
    """Spaces and signs go; the rest must be E.164."""
    code = f"""
import sys
sys.modules["phonenumbers"] = None
from airflow_provider_twilio.bulk.rows import normalised
for given, wanted in {SAME!r}.items():
    assert normalised(given) == wanted, given
try:
    normalised("4155550100")
except ValueError as error:
    print(error)
"""
    said = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert said.startswith("to has no leading +")


def test_what_was_seen():
    source = random.Random(1)
    numbers = [source.getrandbits(64) for _ in range(20_000)]
    seen = Seen()
    assert seen.add(0)
    assert not seen.add(0)
    assert all(seen.add(number) for number in numbers)
    assert not any(seen.add(number) for number in numbers)
