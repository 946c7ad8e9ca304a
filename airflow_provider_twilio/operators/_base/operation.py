"""What all operators share: an operator is its signature, and the operation it runs."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from functools import cached_property
from inspect import Parameter
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from airflow.sdk import BaseOperator

from airflow_provider_twilio._airflow.outcome import fail_on_permanent_errors
from airflow_provider_twilio._airflow.templates import (
    doc_summary,
    is_mapped_at_runtime,
    parse_rendered,
    resolve_literal,
)
from airflow_provider_twilio.api import checks
from airflow_provider_twilio.api.errors import BadParameter, NotFound
from airflow_provider_twilio.api.listing import Listing
from airflow_provider_twilio.api.operation import Definition, definition
from airflow_provider_twilio.api.records import Record
from airflow_provider_twilio.api.request import NoContent
from airflow_provider_twilio.api.values import UNRESOLVED
from airflow_provider_twilio.defaults import DRY_RUN
from airflow_provider_twilio.hooks.twilio import TwilioHook

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_twilio.runtime.background import BackgroundRunner

T = TypeVar("T")


# What a family of operators looks like in the UI, by the resource that its operations are of.
COLORS = {
    "Messages": "#fbe0e4",
    "Calls": "#dcebfb",
    "IncomingPhoneNumbers": "#e0f3e3",
    "AvailablePhoneNumbers": "#e0f3e3",
    "Accounts": "#fdf0d5",
    "Balances": "#fdf0d5",
}


# The fields of a record that go to XCom by themselves, too: ``send.output["sid"]`` is what other tasks mostly want.
XCOM_KEYS = ("sid", "phone_number")


class TwilioOperator(BaseOperator):
    """Run one Twilio operation and return its record, or list of records, for XCom.

    A subclass names the operation (``operation=Messages.fetch``) and spells its parameters in ``__init__``, where
    Airflow, ``default_args``, ``partial()`` and editors read them; :meth:`keep` takes them over. All are templated.

    What a template renders is text, and is read as what the parameter takes: see :func:`unrendered`. An empty text is
    left out where something is made, empties the field where something is changed, and is refused as the filter of a
    list: Twilio would ignore it and list everything.

    :param twilio_conn_id: the Airflow connection. (templated)
    :param account_sid: the account to act on, where it isn't the connection's own. (templated)
    """

    operation: ClassVar[Definition]
    _extra_template_fields: ClassVar[tuple[str, ...]] = ()
    """Further templated parameters of a subclass, beside the operation's."""

    _xcom_values: Mapping[str, Any] = {}
    _background: BackgroundRunner[Any] | None = None

    if TYPE_CHECKING:

        @property
        def output(self) -> Any:
            """What goes to XCom, for the parameters of other tasks; for Airflow's types it fits none of them."""

    ui_color = "#f4f4f6"
    ui_fgcolor = "#121c2d"

    def __init_subclass__(cls, operation: Callable[..., Any] | None = None, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if operation is not None:
            cls.operation = definition(operation)
            cls.ui_color = COLORS[str(cls.operation).split(".")[0]]
            cls.template_fields = (
                *cls.operation.names,
                *cls._extra_template_fields,
                "twilio_conn_id",
                "account_sid",
            )

    def __init__(
        self, *, twilio_conn_id: str = TwilioHook.default_conn_name, account_sid: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.doc_md = self.doc_md or doc_summary(type(self))
        self.twilio_conn_id = twilio_conn_id
        self.account_sid = account_sid
        if account_sid is not None and not is_mapped_at_runtime(self):
            checks.sid("account_sid", resolve_literal(account_sid), "AC")

    def _set_arguments(self, arguments: Mapping[str, Any]) -> None:
        """Keep the operation's arguments, unchanged, and check what of them is known already.

        :param arguments: the ``locals()`` of ``__init__``.
        """
        kept = {name: arguments.get(name) for name in (*self.operation.names, *self._extra_template_fields)}
        for name, value in kept.items():
            setattr(self, name, value)
        if not is_mapped_at_runtime(self):
            self.operation.check(
                self._build_arguments({name: self._literal_of(name, value) for name, value in kept.items()})
            )

    def _literal_of(self, name: str, value: Any) -> Any:
        """Tell what is known of a value when the DAG is parsed; of a time nothing, which may pass meanwhile."""
        return UNRESOLVED if name in self.operation.times and value is not None else resolve_literal(value)

    def _build_arguments(self, given: dict[str, Any]) -> dict[str, Any]:
        """Turn what was given into the operation's own arguments, and check what the operation can't.

        This is for subclasses with template fields of their own: they take them out. It is called when the DAG is
        parsed, with :data:`LATER` for what isn't known yet, and again when the task runs.
        """
        return given

    @cached_property
    def hook(self) -> TwilioHook:
        return TwilioHook(self.twilio_conn_id, self.account_sid)

    def _request(self, **instead: Any) -> Any:
        """Build the operation's Request, or Listing, from the rendered arguments.

        :param instead: arguments that take the place of those given to the operator.
        """
        return self.operation.build(**self._build_arguments({**self._rendered_arguments(), **instead}))

    def _rendered_arguments(self) -> dict[str, Any]:
        """Read the arguments from what their templates have rendered: see the class."""
        names = (*self.operation.parameters, *self._extra_template_fields)
        return {name: self._rendered_argument(name, getattr(self, name)) for name in names}

    def _rendered_argument(self, name: str, value: Any) -> Any:
        parameters = self.operation.parameters
        sent = name not in parameters or parameters[name].kind is Parameter.KEYWORD_ONLY
        if sent and isinstance(value, str) and not value.strip():
            if self.operation.verb == "iter_records":
                raise BadParameter(name, "is empty", "leave it out to list all, or give a value")
            if all(parameter.kind is Parameter.KEYWORD_ONLY for parameter in parameters.values()):
                return None
        return parse_rendered(name, value, str(parameters[name].annotation) if name in parameters else "str")

    def execute(self, context: Context) -> Any:
        """Run the operation. Errors that would come again fail the task at once."""
        with fail_on_permanent_errors():
            request = self._request()
            client = self.hook.client
            try:
                answer = client.iter_records(request) if isinstance(request, Listing) else client.send(request)
            except NotFound as error:
                # An earlier try may have been killed right after it had deleted it.
                if request.parser is not NoContent or getattr(context.get("ti"), "try_number", 1) < 2:
                    raise
                self.log.info("An earlier try has perhaps deleted it: %s", error)
                answer = None
            return self._result(answer)

    def _run_in_background(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run what does many things at once beside the task's main thread, till it ends or the task is killed."""
        from airflow_provider_twilio.runtime.background import BackgroundRunner

        aside = BackgroundRunner(coroutine)
        self._background = aside
        try:
            return aside.run()
        finally:
            self._background = None

    def on_kill(self) -> None:
        """Begin nothing more of what runs beside. The next try, or Clear, goes on where this one was."""
        if aside := self._background:
            aside.cancel()

    @property
    def _title(self) -> str:
        """What the log calls it."""
        return str(self.operation)

    def _result(self, answer: Any) -> Any:
        """Give what goes to XCom: the record, the list of records, or the SID of what was deleted."""
        if isinstance(answer, Record):
            self.log.info("%s: %s", self._title, answer)
            self._xcom_values = {name: answer[name] for name in XCOM_KEYS if answer.get(name)}
            return answer
        if answer is None:
            sid = getattr(self, next(iter(self.operation.parameters)))
            if self.hook.client.settings.dry_run:
                return Record(sid=sid, status=DRY_RUN)
            self.log.info("%s: %s is deleted", self._title, sid)
            return sid
        records = list(answer)
        self.log.info("%s: %d records", self._title, len(records))
        return records

    def post_execute(self, context: Context, result: Any = None) -> None:
        """Push what other tasks want by its name, beside the record: see :data:`NAMED`."""
        if self.do_xcom_push:
            for name, value in self._xcom_values.items():
                context["ti"].xcom_push(key=name, value=value)
