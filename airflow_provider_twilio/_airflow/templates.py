"""Template parameters: literals at parse time, and the values that rendered templates stand for."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from inspect import cleandoc
from typing import Any

from airflow.sdk import BaseOperator

from airflow_provider_twilio.api import checks
from airflow_provider_twilio.api.errors import BadParameter
from airflow_provider_twilio.api.values import UNRESOLVED


def resolve_literal(value: Any) -> Any:
    """Give a plain literal as it is, and :data:`LATER` for what is only known when the task runs.

    That is what holds a template or an XComArg, and times: what is right of a time now may be wrong then.
    """
    if isinstance(value, str):
        return UNRESOLVED if any(mark in value for mark in ("{{", "{%", "{#")) else value
    if value is None or isinstance(value, bool | int | float | Decimal):
        return value
    if isinstance(value, Mapping):
        return value if all(resolve_literal(item) is not UNRESOLVED for item in value.values()) else UNRESOLVED
    if isinstance(value, Sequence):
        return value if all(resolve_literal(item) is not UNRESOLVED for item in value) else UNRESOLVED
    return UNRESOLVED


def is_mapped_at_runtime(task: BaseOperator) -> bool:
    """Tell whether this is made of a mapped task that runs, not of a DAG file: then ``execute`` does the checks.

    An error of ``__init__`` would be retried there.
    """
    return bool(getattr(task, "_BaseOperator__from_mapped", False))


def parse_rendered(name: str, value: Any, annotation: str) -> Any:
    """Give the value that was meant by a text, which is all that a template can render.

    ``"True"`` is a boolean where the parameter takes one, ``"5"`` a number, ``"['a', 'b']"`` a list and
    ``"{'a': 1}"`` a mapping, in Python's words, or in JSON's where the parameter takes no text. ``"None"`` is refused,
    for nobody means it: a message that says "None" would go out.

    :param annotation: the parameter's, as written.
    """
    if not isinstance(value, str):
        return value
    text = value.strip()
    if text == "None":
        raise BadParameter(
            name,
            "is the text 'None', which is what a template makes of None",
            "leave it out, mend the template, or set render_template_as_native_obj=True on the DAG",
        )
    kinds = set(re.findall(r"\w+", annotation))
    if "bool" in kinds and text.lower() in ("true", "false"):
        return text.lower() == "true"
    if "int" in kinds and text.lstrip("-").isdecimal():
        return int(text)
    if ("Sequence" in kinds and text[:1] in ("[", "(")) or ("Mapping" in kinds and text[:1] == "{"):
        return _literal(text, value, "str" in annotation.split(" | "))
    for kind, wanted in (("bool", "true or false"), ("int", "a whole number")):
        if kind in kinds and "str" not in kinds:
            raise BadParameter(name, f"is not {wanted} ({checks.describe(value)})", f"give {wanted}")
    return value


def _literal(text: str, otherwise: Any, takes_text: bool) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        if takes_text:
            return otherwise
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return otherwise


def doc_summary(task_type: type) -> str | None:
    """Give what a class's docstring says before its parameters: the web UI shows it beside the task."""
    return cleandoc(task_type.__doc__ or "").split("\n:param", 1)[0].strip() or None
