"""Who the recipients are. Files are read in tests/operators/test_many.py."""

from __future__ import annotations

import gzip
import random
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_provider_twilio.api.errors import BadParameter
from airflow_provider_twilio.runtime.bulk.rows import SeenHashes, normalize_address, rows

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
    assert normalize_address(given) == wanted
    assert normalize_address(wanted, checked=True) == wanted


@pytest.mark.parametrize(
    "given", ["", "   ", None, 14155550100, "4155550100", "+1415555", "+1 415 555 0100 00", "+abc"]
)
def test_what_is_no_number(given: object):
    with pytest.raises(BadParameter, match=r"^to is"):
        normalize_address(given)


def test_digits_of_another_script_are_written_as_ours():
    assert {normalize_address("+1４１５５５５０１００", checked) for checked in (False, True)} == {"+14155550100"}


def test_without_phonenumbers():
    """Spaces and signs go; the rest must be E.164."""
    code = f"""
import sys
sys.modules["phonenumbers"] = None
from airflow_provider_twilio.runtime.bulk.rows import normalize_address
for given, wanted in {SAME!r}.items():
    assert normalize_address(given) == wanted, given
try:
    normalize_address("4155550100")
except ValueError as error:
    print(error)
"""
    said = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert said.startswith("to has no leading +")


@pytest.mark.parametrize("name", ["people.csv", "people.csv.gz", "people.jsonl"])
def test_a_file_that_is_not_there(tmp_path: Path, name: str):
    with pytest.raises(FileNotFoundError, match=rf"^recipients is a file that is not there \(.*{name}\)"):
        list(rows(tmp_path / name))


PACKED = gzip.compress("".join(f"+1415555{number:04}\n" for number in range(10_000)).encode())


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"to\n+14155550100\n", "is not what gzip has packed: Not a gzipped file"),
        (PACKED[: len(PACKED) // 2], "ends too early"),
        (PACKED[:50] + bytes(50) + PACKED[100:], "is not what gzip has packed: Error -3"),
        (PACKED[:-8] + bytes(8), "is not what gzip has packed: CRC check failed"),
        (PACKED + b"more", "is not what gzip has packed: Not a gzipped file"),
    ],
    ids=["not packed", "cut", "broken", "changed", "more behind it"],
)
def test_a_packed_file_that_is_broken(tmp_path: Path, content: bytes, fault: str):
    path = tmp_path / "people.csv.gz"
    path.write_bytes(content)
    with pytest.raises(BadParameter, match=f"^recipients is a file that {fault}.*: pack it again"):
        list(rows(path, column="+14155550000"))


def test_what_was_seen():
    source = random.Random(1)
    numbers = [source.getrandbits(64) for _ in range(20_000)]
    seen = SeenHashes()
    assert seen.add(0)
    assert not seen.add(0)
    assert all(seen.add(number) for number in numbers)
    assert not any(seen.add(number) for number in numbers)
