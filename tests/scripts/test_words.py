"""The word check finds what it is made for, and leaves ordinary sentences alone."""

from __future__ import annotations

import ast

import pytest

from scripts import words


def parse(text: str) -> ast.Module:
    return ast.parse(text)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Unless told otherwise", ["Unless told"]),
        ("It waits at the most 5 s, in vain", ["at the most", "in vain"]),
        ("the time-out of a twin", ["time-out", "twin"]),
        ("organised by its own behaviour", ["organised", "behaviour"]),
    ],
)
def test_check_words_finds_words(text: str, found: list[str]):
    assert sorted(hit.found for hit in words.check_words("page.md", text)) == sorted(found)


@pytest.mark.parametrize(
    "text",
    [
        "At most 5 requests are in flight until the timeout.",
        "`on_unsure` was renamed",
        "requests.exceptions.CancelledError",
        "https://example.com/anew/till",
        "A word that recurs is remembered.",
    ],
)
def test_check_words_accepts_ordinary_text(text: str):
    assert list(words.check_words("page.md", text)) == []


def test_check_words_reports_the_line():
    [hit] = words.check_words("page.md", "one\ntwo\nin vain\n")
    assert (hit.path, hit.line) == ("page.md", 3)


def test_check_docstrings_finds_the_first_word():
    code = 'def f():\n    """Give the record."""\n\n\nclass A:\n    """A record."""\n'
    assert [(hit.found, hit.line) for hit in words.check_docstrings("a.py", parse(code))] == [("Give", 2)]


def test_check_test_names_finds_names_without_a_unit():
    trees = {"tests/test_a.py": parse("def test_what_it_does(): ...\ndef test_engine_stops(): ...\n")}
    assert [hit.found for hit in words.check_test_names(trees)] == ["test_what_it_does"]


def test_check_test_names_finds_names_in_two_files():
    code = "def test_engine_stops(): ...\n"
    hits = list(words.check_test_names({"tests/test_a.py": parse(code), "tests/test_b.py": parse(code)}))
    assert [hit.path for hit in hits] == ["tests/test_b.py"]
    assert "tests/test_a.py" in hits[0].use


@pytest.mark.parametrize(
    ("subject", "is_good"),
    [
        ("client: Prepare each request exactly once", True),
        ("Rename the engine; split its tests", False),
        ("x" * 73, False),
        ("api: client: Rename both", False),
    ],
)
def test_check_subjects(subject: str, is_good: bool):
    assert (list(words.check_subjects([subject])) == []) is is_good


def test_project_passes_the_word_check():
    assert list(map(str, words.check([]))) == []
