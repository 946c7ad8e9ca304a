"""Rows and addresses of recipients. tests/operators/test_bulk.py tests the contents of files."""

from __future__ import annotations

import gzip
import random
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_provider_twilio.api.errors import BadParameter
from airflow_provider_twilio.runtime.bulk.rows import SeenHashes, normalize_address, rows

CANONICAL = {
    "+14155550100": "+14155550100",
    " +1 (415) 555-0100 ": "+14155550100",
    "+44 20 7946 0958": "+442079460958",
    "whatsapp:+1 415.555.0100": "whatsapp:+14155550100",
    "WhatsApp:+14155550102": "whatsapp:+14155550102",
    "+44 (0) 20 7946 0958": "+442079460958",
    "+44(0)20 7946 0958": "+442079460958",
    "+39 (0) 6 1234 5678": "+390612345678",
    "\u202a+1 415 555 0100\u202c": "+14155550100",
    "+1\u200b415\u00ad555\u202f0100\ufeff": "+14155550100",
    "\ufeff+1\u2013415\u2011555\u22120100\u00a0": "+14155550100",
    "\uff0b1\uff08415\uff09 555\u30fc0100": "+14155550100",
    "\u200ewhatsapp:\u200e+1 415 555 0100": "whatsapp:+14155550100",
    "'+14155550100": "+14155550100",
    "+\uff11415\u0665550100": "+14155550100",
    "messenger:1234567": "messenger:1234567",
    "Messenger:aBc": "messenger:aBc",
}


@pytest.mark.parametrize(("address", "canonical"), CANONICAL.items())
def test_normalize_address_returns_the_canonical_form(address: str, canonical: str):
    assert normalize_address(address) == canonical
    assert normalize_address(canonical, checked=True) == canonical


@pytest.mark.parametrize("address", ["1.41555E+10", "+1.41555E+10", "1,41555e10"])
def test_normalize_address_rounded_by_a_spreadsheet_names_the_problem(address: str):
    with pytest.raises(BadParameter, match=r"^to was rounded by a spreadsheet .*: format the column as text"):
        normalize_address(address)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "   ",
        "\u200b",
        float("nan"),
        True,
        None,
        14155550100,
        "4155550100",
        "+1415555",
        "+1 415 555 0100 00",
        "+abc",
    ],
)
def test_normalize_address_rejects_an_invalid_number(address: object):
    with pytest.raises(BadParameter, match=r"^to is"):
        normalize_address(address)


def test_normalize_address_converts_digits_of_another_script():
    assert {normalize_address("+1４１５５５５０１００", checked) for checked in (False, True)} == {"+14155550100"}


def test_normalize_address_without_phonenumbers_requires_e164():
    """Spaces and punctuation are removed; the rest must be E.164."""
    code = f"""
import sys
sys.modules["phonenumbers"] = None
from airflow_provider_twilio.runtime.bulk.rows import normalize_address
for address, canonical in {CANONICAL!r}.items():
    assert normalize_address(address) == canonical, address
try:
    normalize_address("4155550100")
except ValueError as error:
    print(error)
"""
    output = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert output.startswith("to has no leading +")


@pytest.mark.parametrize("name", ["people.csv", "people.csv.gz", "people.jsonl"])
def test_rows_of_a_missing_file_raises_file_not_found(tmp_path: Path, name: str):
    with pytest.raises(FileNotFoundError, match=rf"^recipients is a file that does not exist \(.*{name}\)"):
        list(rows(tmp_path / name))


COMPRESSED = gzip.compress("".join(f"+1415555{number:04}\n" for number in range(10_000)).encode())


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"to\n+14155550100\n", "is not valid gzip: Not a gzipped file"),
        (COMPRESSED[: len(COMPRESSED) // 2], "is truncated"),
        (COMPRESSED[:50] + bytes(50) + COMPRESSED[100:], "is not valid gzip: Error -3"),
        (COMPRESSED[:-8] + bytes(8), "is not valid gzip: CRC check failed"),
        (COMPRESSED + b"more", "is not valid gzip: Not a gzipped file"),
    ],
    ids=["not compressed", "truncated", "corrupt", "wrong checksum", "trailing data"],
)
def test_rows_of_a_corrupt_gzip_file_raises_bad_parameter(tmp_path: Path, content: bytes, fault: str):
    path = tmp_path / "people.csv.gz"
    path.write_bytes(content)
    with pytest.raises(BadParameter, match=f"^recipients is a file that {fault}.*: compress it again"):
        list(rows(path, column="+14155550000"))


def test_seen_hashes_add_returns_whether_the_hash_is_new():
    source = random.Random(1)
    hashes = [source.getrandbits(64) for _ in range(20_000)]
    seen = SeenHashes()
    assert seen.add(0)
    assert not seen.add(0)
    assert all(seen.add(value) for value in hashes)
    assert not any(seen.add(value) for value in hashes)
