"""Checks of the parameters of a bulk send, at parse time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_twilio.api import checks
from airflow_provider_twilio.api.errors import BadParameter
from airflow_provider_twilio.api.messages import Messages
from airflow_provider_twilio.api.operation import definition
from airflow_provider_twilio.api.values import UNRESOLVED

CREATE = definition(Messages.create)


def check_limits(values: Mapping[str, Any]) -> None:
    """Check the parameters that say how to send and to wait."""
    for name in ("concurrency", "rate", "poll_interval", "wait_timeout"):
        value = values[name]
        if value is not None and value is not UNRESOLVED and not value > 0:
            raise BadParameter(name, f"is {value}", "give a number above 0")
    checks.choice("on_clear", values["on_clear"], ("resend", "skip"))
    checks.choice("on_unresolved", values["on_unresolved"], ("resend", "fail"))
    failures = values["max_failures"]
    if (
        failures is not None
        and failures is not UNRESOLVED
        and (isinstance(failures, bool) or failures < 0 or (failures > 1 and failures % 1))
    ):
        raise BadParameter("max_failures", f"is {failures}", "give a number, or a share such as 0.05")
    if isinstance(values["results"], str):
        from airflow_provider_twilio.runtime.bulk.results import check

        check(values["results"])


def check_message(options: Mapping[str, Any], recipients: Any, recipient_column: Any) -> None:
    """Check what all messages have in common. Row overrides and placeholders are not known yet.

    :param options: The parameters of :meth:`Messages.create`, without ``to``.
    """
    from airflow_provider_twilio.runtime.bulk.plan import FORMATTED_FIELDS, ROW_OVERRIDES, placeholders

    given = dict(options)
    formatted = {name for name in FORMATTED_FIELDS if given[name] is not UNRESOLVED and placeholders(given[name])}
    if not any(checks.is_set(given[name]) for name in ("body", "media_url", "content_sid")):
        given["body"] = UNRESOLVED
    if given["content_variables"] is not None and given["content_sid"] is None:
        given["content_sid"] = UNRESOLVED
    times = {name: UNRESOLVED for name in CREATE.times if given[name] is not None}
    CREATE.check({**given, **dict.fromkeys(formatted, UNRESOLVED), **times, "to": UNRESOLVED})
    if recipients is UNRESOLVED or isinstance(recipients, str):
        return
    if not recipients:
        raise BadParameter("recipients", "is empty", "give at least one")
    if formatted and isinstance(recipients, list | tuple) and all(isinstance(one, str) for one in recipients):
        names = {name for field in formatted for name in placeholders(given[field])}
        unknown = names - {recipient_column, *ROW_OVERRIDES}
        if unknown:
            raise BadParameter(
                "body",
                f"has the placeholder {{{min(unknown)}}}, which the recipients have no value for",
                "give mappings as recipients, or correct the name",
            )
