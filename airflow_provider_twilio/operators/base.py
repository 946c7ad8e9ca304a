"""What all operators share: an operator is its signature, and the operation it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import BaseOperator

from airflow_provider_twilio.api.checks import LATER
from airflow_provider_twilio.api.core import Definition, Record, definition
from airflow_provider_twilio.hooks.twilio import TwilioHook, permanent_errors_fail

if TYPE_CHECKING:
    from airflow.sdk import Context


def known(value: Any) -> Any:
    """Give a plain literal as it is, and :data:`LATER` for what is only known when the task runs.

    That is what holds a template or an XComArg, and times: what is right of a time now may be wrong then.
    """
    if isinstance(value, str):
        return LATER if any(mark in value for mark in ("{{", "{%", "{#")) else value
    if value is None or isinstance(value, bool | int | float | Decimal):
        return value
    if isinstance(value, Mapping):
        return value if all(known(item) is not LATER for item in value.values()) else LATER
    if isinstance(value, Sequence):
        return value if all(known(item) is not LATER for item in value) else LATER
    return LATER


class TwilioOperator(BaseOperator):
    """Run one Twilio operation and return its record, or list of records, for XCom.

    A subclass names the operation (``operation=Messages.fetch``) and spells its parameters in ``__init__``, where
    Airflow, ``default_args``, ``partial()`` and editors read them; :meth:`keep` takes them over. All are templated.

    :param twilio_conn_id: the Airflow connection. (templated)
    :param account_sid: the account to act on, where it isn't the connection's own. (templated)
    """

    operation: ClassVar[Definition]
    own_template_fields: ClassVar[tuple[str, ...]] = ()
    """Further templated parameters of a subclass, beside the operation's."""

    ui_color = "#fbe6ea"
    ui_fgcolor = "#121c2d"

    def __init_subclass__(cls, operation: Callable[..., Any] | None = None, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if operation is not None:
            cls.operation = definition(operation)
            cls.template_fields = (
                *cls.operation.parameters,
                *cls.own_template_fields,
                "twilio_conn_id",
                "account_sid",
            )

    def __init__(
        self, *, twilio_conn_id: str = TwilioHook.default_conn_name, account_sid: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.twilio_conn_id = twilio_conn_id
        self.account_sid = account_sid

    def keep(self, arguments: Mapping[str, Any]) -> None:
        """Keep the operation's arguments, unchanged, and check what of them is known already.

        :param arguments: the ``locals()`` of ``__init__``.
        """
        kept = {name: arguments[name] for name in self.operation.parameters}
        for name, value in kept.items():
            setattr(self, name, value)
        self.operation.check({name: known(value) for name, value in kept.items()})

    @cached_property
    def hook(self) -> TwilioHook:
        return TwilioHook(self.twilio_conn_id, self.account_sid)

    def request(self) -> Any:
        """Build the operation's Request, or Listing, from the rendered arguments."""
        return self.operation.build(**{name: getattr(self, name) for name in self.operation.parameters})

    def execute(self, context: Context) -> Any:
        """Run the operation. Errors that would come again fail the task at once."""
        with permanent_errors_fail():
            return self.result(self.operation.run(self.hook.client, self.request()))

    def result(self, answer: Any) -> Any:
        """Give what goes to XCom: the record, the list of records, or the SID of what was deleted."""
        if isinstance(answer, Record):
            self.log.info("%s: %s", self.operation, answer)
            return answer
        if answer is None:
            sid = getattr(self, next(iter(self.operation.parameters)))
            self.log.info("%s: %s is deleted", self.operation, sid)
            return sid
        records = list(answer)
        self.log.info("%s: %d records", self.operation, len(records))
        return records
