"""Segment counts compared with Twilio's calculator, in segment_vectors.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_twilio.api.segments import BASIC, EXTENSION, Segments, count, smart_encode

VECTORS: list[list[Any]] = json.loads((Path(__file__).parent / "segment_vectors.json").read_text(encoding="utf-8"))


def test_count_agrees_with_every_vector():
    wrong = []
    for pieces, smart, *expected in VECTORS:
        found = count("".join(character * times for character, times in pieces), smart)
        if [found.encoding, found.segments, found.units] != expected:
            wrong.append((pieces, smart, expected, found))
    assert not wrong
    assert len(VECTORS) == 1500
    assert {vector[2] for vector in VECTORS} == {"GSM-7", "UCS-2"}
    assert any(vector[3] >= 5 for vector in VECTORS)


@pytest.mark.parametrize(
    ("body", "encoding", "segments", "units"),
    [
        ("", "GSM-7", 1, 0),
        ("a" * 160, "GSM-7", 1, 160),
        ("a" * 161, "GSM-7", 2, 161),
        ("a" * 306, "GSM-7", 2, 306),
        ("a" * 307, "GSM-7", 3, 307),
        ("€" * 80, "GSM-7", 1, 160),
        ("€" * 81, "GSM-7", 2, 162),
        (("a" * 152 + "€") * 2, "GSM-7", 3, 308),
        ("д" * 70, "UCS-2", 1, 70),
        ("д" * 71, "UCS-2", 2, 71),
        ("д" * 134, "UCS-2", 2, 134),
        ("д" * 135, "UCS-2", 3, 135),
        ("👍" * 35, "UCS-2", 1, 70),
        ("👍" * 36, "UCS-2", 2, 72),
        ("👨‍👩‍👧‍👦" * 7, "UCS-2", 2, 77),
        ("д" * 66 + "👍" + "д" * 65, "UCS-2", 2, 133),
        ("д" * 66 + "👍" + "д" * 66, "UCS-2", 3, 134),
        ("e\u0301" * 67, "UCS-2", 3, 134),
        ("д" * 64 + "👩‍💻" + "д" * 65, "UCS-2", 3, 134),
        ("д" * 65 + "🇩🇪" + "д" * 65, "UCS-2", 3, 134),
        ("д" * 65 + "👍🏽" + "д" * 65, "UCS-2", 3, 134),
    ],
)
def test_count_returns_encoding_segments_and_units(body: str, encoding: str, segments: int, units: int):
    found = count(body)
    assert (found.encoding, found.segments, found.units) == (encoding, segments, units)


def test_count_names_offending_characters_once_in_order():
    assert count("„Grüße“ – д, д ✓").offending == ("„", "“", "–", "д", "✓")
    assert count("Grüße {€}").offending == ()


def test_count_with_smart_encoding_returns_gsm():
    assert count("“quoted” – …", smart_encoded=True) == Segments("GSM-7", 1, 14)
    assert smart_encode("“quoted” – …") == '"quoted" - ...'
    assert count("“д”", smart_encoded=True).offending == ("д",)


def test_gsm_character_sets_are_complete():
    assert (len(BASIC), len(EXTENSION), BASIC & EXTENSION) == (127, 10, frozenset())
    assert smart_encode("".join(BASIC | EXTENSION)) == "".join(BASIC | EXTENSION)


def test_count_splits_clusters_longer_than_a_segment():
    assert count("e" + "\u0301" * 200).segments == 3


@given(st.text())
def test_count_of_any_text_is_positive_and_monotonic(body: str):
    found, longer = count(body), count(body + "д")
    assert 1 <= found.segments <= longer.segments
    assert longer.encoding == "UCS-2"
    capacity = 67 if found.encoding == "UCS-2" else 153
    assert found.segments >= (found.units - 1) // (capacity + 7) + (0 if found.units else 1)
