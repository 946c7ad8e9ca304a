"""The signatures of operators are those of their operations; the check finds a difference."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts import spell_operators


@pytest.mark.parametrize(
    ("annotation", "of_operator"),
    [
        ("str | None", "str | None"),
        ("bool | None", "bool | str | None"),
        ("int", "int | str"),
        ("Sequence[str] | str | None", "Sequence[str] | str | None"),
        ("date | datetime | None", "date | datetime | str | None"),
        ("Mapping[str, Any] | None", "Mapping[str, Any] | str | None"),
        ('Literal["a", "b"] | None', 'Literal["a", "b"] | None'),
    ],
)
def test_operator_annotation_accepts_rendered_text(annotation: str, of_operator: str):
    assert spell_operators.operator_annotation(annotation) == of_operator


@pytest.mark.parametrize("path", list(spell_operators.operator_files()), ids=lambda path: path.stem)
def test_operator_files_are_as_spelled(path: Path):
    assert spell_operators.spell(path) == path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("written", "changed"),
    [
        ("body: str | None = None,", "body: str | None = 'x',"),
        (":param once: ", ":param once: Really. "),
    ],
)
def test_spell_restores_a_changed_signature(written: str, changed: str):
    path = spell_operators.ROOT / spell_operators.PACKAGE / "operators" / "messages.py"
    text = path.read_text(encoding="utf-8")
    assert written in text
    assert spell_operators.spell(path, text.replace(written, changed, 1)) == text
