"""Template fields: their literals when a DAG is parsed, their rendering, and their typed values once rendered."""

from __future__ import annotations

import ast
import copy
import json
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from airflow.sdk import BaseOperator

from airflow_provider_twilio.api import checks
from airflow_provider_twilio.api.errors import BadParameter
from airflow_provider_twilio.api.values import UNRESOLVED

NUMERIC_TYPES = frozenset({"int", "float", "Decimal", "Any"})
"""Types in an annotation whose parameter takes numbers."""


def resolve_literal(value: Any) -> Any:
    """Return a literal unchanged, and :data:`UNRESOLVED` for a value that is only known when the task runs.

    Such values are templates, XComArgs, and collections with one of them. Times count as well: a time that is valid
    while the DAG is parsed may be invalid when the task runs.
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
    """Return whether an operator was unmapped at run time, rather than created by a DAG file.

    Validation is then left to ``execute``: Airflow would retry an error raised in ``__init__``.
    """
    return bool(getattr(task, "_BaseOperator__from_mapped", False))


class TextRendering:
    """Mixin of operators, sensors and notifiers whose templates render without loss in native mode.

    With ``render_template_as_native_obj=True``, Airflow evaluates every rendered text as a Python literal: the number
    ``+14155550100`` loses its plus sign, the digits ``1234#`` lose the ``#``, and ``00`` becomes 0. With this mixin,
    text stays text, and :func:`parse_rendered` converts it if the parameter has another type. A template of one
    expression still renders the object itself, such as the list of an XCom.
    """

    def _render(self, template: Any, context: Any, dag: Any = None) -> Any:
        """Render a template. Airflow calls this method for each string of a template field."""
        from jinja2.nativetypes import NativeEnvironment

        if not isinstance(template.environment, NativeEnvironment):
            return super()._render(template, context, dag)  # type: ignore[misc]
        return _render_native(template, context)


def _render_native(template: Any, context: Any) -> Any:
    """Return the object of a template of one expression, and the text of any other template.

    This is Airflow's own rendering without the evaluation at its end.
    """
    names = copy.copy(context)
    names.update({name: value for name, value in template.globals.items() if name not in names})
    environment = template.environment
    try:
        parts = list(
            template.root_render_func(environment.context_class(environment, names, template.name, template.blocks))
        )
    except Exception:
        environment.handle_exception()
        raise
    if len(parts) == 1 and not isinstance(parts[0], str):
        return parts[0]
    text = "".join(map(str, parts))
    return None if text == "None" else text


def parse_rendered(name: str, value: Any, annotation: str) -> Any:
    """Return the typed value of a rendered template, which is a string unless the DAG renders native objects.

    Depending on the parameter's type, ``"True"`` becomes a boolean, ``"5"`` an integer, ``"['a', 'b']"`` a list and
    ``"{'a': 1}"`` a mapping. Lists and mappings are Python literals, or JSON if the parameter accepts no string. A
    number becomes a string if the parameter takes no numbers, as it does where templates render text.

    :param name: Name of the parameter, for the error message.
    :param value: The rendered value. A value that is neither a string nor a number is returned unchanged.
    :param annotation: Type annotation of the parameter, as source code.
    :raises BadParameter: If the value has another type, or is the string ``None``: it is never intended, and a message
        with the text "None" would be sent.
    """
    types = set(re.findall(r"\w+", annotation))
    if not isinstance(value, str):
        is_number = isinstance(value, int | float | Decimal) and not isinstance(value, bool)
        return str(value) if is_number and "str" in types and not types & NUMERIC_TYPES else value
    text = value.strip()
    if text == "None":
        raise BadParameter(
            name,
            "is the string 'None', to which a template renders None",
            "leave the parameter out, correct the template, or set render_template_as_native_obj=True on the DAG",
        )
    if "bool" in types and text.lower() in ("true", "false"):
        return text.lower() == "true"
    if "int" in types and text.lstrip("-").isdecimal() and ("str" not in types or str(int(text)) == text):
        return int(text)
    if ("Sequence" in types and text[:1] in ("[", "(")) or ("Mapping" in types and text[:1] == "{"):
        return _parse_literal(text, value, accepts_string="str" in annotation.split(" | "))
    for type_name, expected in (("bool", "true or false"), ("int", "a whole number")):
        if type_name in types and "str" not in types:
            raise BadParameter(name, f"is not {expected} ({checks.describe(value)})", f"give {expected}")
    return value


def _parse_literal(text: str, default: Any, *, accepts_string: bool) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        if accepts_string:
            return default
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return default
