"""Checks of a bulk send's parameters at parse time."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from airflow_provider_twilio.api import checks
from airflow_provider_twilio.api.errors import BadParameter
from airflow_provider_twilio.api.messages import Messages
from airflow_provider_twilio.api.operation import definition
from airflow_provider_twilio.api.values import UNRESOLVED

CREATE = definition(Messages.create)


def check_limits(values: Mapping[str, Any]) -> None:
    """Check the parameters of sending and waiting.

    :raises BadParameter: If one is invalid.
    """
    for name in ("concurrency", "rate", "max_failures", "min_balance"):
        _check_number(name, values[name])
    for name in ("concurrency", "rate"):
        value = values[name]
        if value is not None and value is not UNRESOLVED and not value > 0:
            raise BadParameter(name, f"is {value}", "pass a number above 0")
    checks.required(**{name: values[name] for name in ("concurrency", "reconcile_timeout")})
    for name in ("poll_interval", "wait_timeout"):
        checks.positive_seconds(name, values[name])
    for name in ("sent_grace", "reconcile_timeout"):
        checks.seconds(name, values[name])
    checks.choice("on_clear", values["on_clear"], ("resend", "resend_all", "skip"))
    checks.choice("on_missing", values["on_missing"], ("invalid", "empty"))
    checks.choice("on_unresolved", values["on_unresolved"], ("resend", "fail"))
    failures = values["max_failures"]
    if failures is not None and failures is not UNRESOLVED and (not failures >= 0 or (failures > 1 and failures % 1)):
        raise BadParameter("max_failures", f"is {failures}", "pass a whole number, or a share such as 0.05")
    if isinstance(values["results"], str):
        from airflow_provider_twilio.runtime.bulk.results import check

        check(values["results"])


def _check_number(name: str, value: Any) -> None:
    """Check that a value is a number, if set. Text such as "10" is none."""
    if value is None or value is UNRESOLVED:
        return
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise BadParameter(name, f"is not a number ({checks.describe(value)})", "pass a number. No message was sent")


def check_message(options: Mapping[str, Any], recipients: Any, recipient_column: Any) -> None:
    """Check the options that apply to all messages. Values of the rows are not yet known.

    :param options: Parameters of :meth:`Messages.create`, without ``to``.
    :raises BadParameter: If an option is invalid, or names a placeholder for which the recipients have no value.
    """
    from airflow_provider_twilio.runtime.bulk.placeholders import ESCAPE, find_names, has_braces, parse_variables
    from airflow_provider_twilio.runtime.bulk.plan import FORMATTED_FIELDS, ROW_OVERRIDES

    arguments = dict(options)
    arguments_with_braces = {name: arguments[name] for name in FORMATTED_FIELDS if has_braces(arguments[name])}
    if "content_variables" in arguments_with_braces:
        arguments_with_braces["content_variables"] = parse_variables(arguments["content_variables"])
    names = {name: find_names(name, value) for name, value in arguments_with_braces.items()}
    formatted = [name for name in names if names[name]]
    if not any(checks.is_set(arguments[name]) for name in ("body", "media_url", "content_sid")):
        arguments["body"] = UNRESOLVED
    if arguments["content_variables"] is not None and arguments["content_sid"] is None:
        arguments["content_sid"] = UNRESOLVED
    times = {name: UNRESOLVED for name in CREATE.times if arguments[name] is not None}
    CREATE.check({**arguments, **dict.fromkeys(formatted, UNRESOLVED), **times, "to": UNRESOLVED})
    if recipients is UNRESOLVED or isinstance(recipients, str):
        return
    if not recipients:
        raise BadParameter("recipients", "is empty", "pass at least one")
    if formatted and isinstance(recipients, list | tuple) and all(isinstance(item, str) for item in recipients):
        for field in formatted:
            unknown = names[field] - {recipient_column, *ROW_OVERRIDES}
            if unknown:
                raise BadParameter(
                    field,
                    f"has the placeholder {{{min(unknown)}}}, for which the recipients have no value",
                    "pass mappings as recipients, or correct the name: a placeholder is a plain name of a column in"
                    f" braces; {ESCAPE}",
                )
