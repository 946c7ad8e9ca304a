"""Placeholders: names of columns in braces, for which each message has the values of its row.

``{{`` and ``}}`` stand for literal braces. Braces around something that could be a name but is no column are an error:
the text would reach everybody unfilled.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from decimal import Decimal
from functools import lru_cache
from typing import Any, Literal, NamedTuple

from airflow_provider_twilio.api.errors import BadParameter

OnMissing = Literal["invalid", "empty"]
MAX_LISTED = 200
"""Maximum length of a list of columns in an error message, in characters."""
MAX_NAME_WORDS = 4
"""Maximum number of words in the name of a column that an error message quotes."""
ESCAPE = "write {{ and }} for literal braces"
INVISIBLE = "\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069\ufeff\u00ad"
"""Characters of no width, which spreadsheets and web pages leave in copied text."""

_COLUMN_NAME = re.compile(r"(?!(?:.*[0-9]){4})[^\W\d][\w .()#/&'-]{0,39}")
_BRACES = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|\{(?=\w)|(?<=[\w}])\}")
_JSON_OBJECT = re.compile(r"""\s*["'].*:""", re.DOTALL)
_WITHOUT_INVISIBLE = str.maketrans("", "", INVISIBLE)


class Placeholder(NamedTuple):
    """Braces in a text.

    :ivar name: The cleaned name between them.
    :ivar braces: The text of the braces and of what they enclose.
    :ivar position: The position in the text.
    :ivar is_literal: Whether the braces are ordinary text unless a column has the name: ``{...}``, or JSON.
    """

    name: str
    braces: str
    position: int
    is_literal: bool


def clean_name(name: object) -> str:
    """Return the name of a column without invisible characters, and with single spaces."""
    return " ".join(str(name).translate(_WITHOUT_INVISIBLE).split())


def list_columns(names: Iterable[object]) -> str | None:
    """Return names of columns as a text for an error message.

    :return: An empty text if they are too long. None if one of them looks like data, which an error must not quote: it
        contains several digits, is an address or a link, or is as long as a sentence.
    """
    cleaned = [name for name in map(clean_name, names) if name]
    if not all(_COLUMN_NAME.fullmatch(name) and len(name.split()) <= MAX_NAME_WORDS for name in cleaned):
        return None
    listed = ", ".join(cleaned)
    return listed if len(listed) <= MAX_LISTED else ""


def is_missing(value: Any) -> bool:
    """Return whether a value is None, blank, not finite, or a "not available" of a data frame."""
    if value is None:
        return True
    if isinstance(value, str):
        return not value or not value.strip() or not clean_name(value)
    if isinstance(value, int | list | tuple | Mapping):
        return False
    try:
        return bool(value != value) or (isinstance(value, float | Decimal) and math.isinf(value))
    except (TypeError, ArithmeticError):  # pandas.NA, and a signaling NaN of Decimal
        return True
    except ValueError:  # the comparison of an array
        return False


def parse_variables(variables: Any) -> Any:
    """Return content variables as a mapping if they are JSON in a string that contains braces.

    Values are inserted into the mapping, not into the JSON, since a value may contain quotes.
    """
    if not isinstance(variables, str) or "{" not in variables:
        return variables
    try:
        return json.loads(variables)
    except ValueError:
        raise BadParameter(
            "content_variables", "is not JSON", 'pass a mapping, or JSON such as {"1": "{name}"}'
        ) from None


def has_braces(value: Any) -> bool:
    """Return whether a string, or a string in a list or mapping, contains a brace."""
    if isinstance(value, str):
        return "{" in value or "}" in value
    if isinstance(value, Mapping):
        return any(map(has_braces, value.values()))
    return isinstance(value, list | tuple) and any(map(has_braces, value))


def find_names(field: str, value: Any) -> set[str]:
    """Return the names of the placeholders in a string, or in the strings of a list or mapping.

    :param field: Parameter that the value belongs to, for the error message.
    :raises BadParameter: If a brace has no counterpart.
    """
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return {name for item in value for name in find_names(field, item)}
    if not isinstance(value, str):
        return set()
    return {part.name for part in _parse(field, value) if isinstance(part, Placeholder) and not part.is_literal}


@lru_cache(maxsize=512)
def _parse(field: str, text: str) -> tuple[str | Placeholder, ...]:
    parts: list[str | Placeholder] = []
    end = 0
    for match in _BRACES.finditer(text):
        braces, content = match[0], match[1]
        parts.append(text[end : match.start()])
        end = match.end()
        if content is not None:
            is_literal = not re.search(r"\w|^\s*$", content) or _JSON_OBJECT.match(content) is not None
            parts.append(Placeholder(clean_name(content), braces, match.start(), is_literal))
        elif len(braces) == 2:
            parts.append(braces[0])
        else:
            counterpart = "closing" if braces == "{" else "opening"
            raise BadParameter(
                field, f"has a brace without the {counterpart} one at index {match.start()}", f"add it, or {ESCAPE}"
            )
    parts.append(text[end:])
    return tuple(part for part in parts if part != "")


class PlaceholderFiller:
    """The values of rows in place of the placeholders of a text.

    :param on_missing: Whether a row without a value for a placeholder is ``invalid``, or the placeholder ``empty``.
    """

    def __init__(self, on_missing: OnMissing = "invalid") -> None:
        self._fill_empty = on_missing == "empty"
        self.start()

    def start(self) -> None:
        """Discard the columns of earlier rows."""
        self._columns: set[str] = set()
        self._absent: dict[str, BadParameter] = {}

    def add_columns(self, row: Mapping[str, Any]) -> None:
        """Store the columns of a row for :meth:`check_columns`."""
        if self._fill_empty:
            self._columns.update(row)

    def check_columns(self) -> None:
        """Check that each placeholder that was left empty is a column of at least one row.

        :raises BadParameter: If one is not: a misspelled name would be empty in every message.
        """
        if self._absent:
            columns = set(map(clean_name, self._columns))
            for name, error in self._absent.items():
                if name not in columns:
                    raise error

    def fill(self, field: str, value: Any, row: Mapping[str, Any], *, is_own: bool = False) -> Any:
        """Return a value with each placeholder replaced by the value of the row.

        :param field: Parameter that the value belongs to.
        :param is_own: Whether the value itself comes from the row. Errors do not quote it then.
        :raises BadParameter: If a placeholder is no column, or the row has no value for it.
        """
        if isinstance(value, Mapping):
            return {key: self.fill(field, item, row, is_own=is_own) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.fill(field, item, row, is_own=is_own) for item in value]
        if not isinstance(value, str):
            return value
        parts = _parse(field, value)
        return "".join([part if isinstance(part, str) else self._value(field, part, row, is_own) for part in parts])

    def _value(self, field: str, placeholder: Placeholder, row: Mapping[str, Any], is_own: bool) -> str:
        value = row.get(placeholder.name, row)
        if value is row:  # the column may have another spelling, or be a number
            value = next((row[key] for key in row if clean_name(key) == placeholder.name), row)
        if value is row and placeholder.is_literal:
            return placeholder.braces
        if isinstance(value, list | tuple | AbstractSet | bytes) or (isinstance(value, Mapping) and value is not row):
            raise BadParameter(
                field,
                f"has the placeholder {{{placeholder.name[:40]}}}, whose value is of type {type(value).__name__}",
                "add a string or number to the row",
            )
        if value is not row and not is_missing(value):
            return str(value)
        error = _missing(field, placeholder, row, is_own, is_column=value is not row)
        if not self._fill_empty:
            raise error
        if value is row:
            self._absent.setdefault(placeholder.name, error)
        return ""


def _missing(
    field: str, placeholder: Placeholder, row: Mapping[str, Any], is_own: bool, *, is_column: bool
) -> BadParameter:
    if is_column:
        remedy = 'add the value, or set on_missing="empty"'
    else:
        columns = list_columns(row)
        listed = f" (columns: {columns})" if columns else ""
        remedy = f"correct the name of the column{listed}, or {ESCAPE}"
    quoted = f"at index {placeholder.position}" if is_own and not is_column else f"{{{placeholder.name[:40]}}}"
    return BadParameter(field, f"has the placeholder {quoted}, for which the row has no value", remedy)
