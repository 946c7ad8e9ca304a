"""Base class of all operators. A subclass declares its parameters and the operation that it runs."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from functools import cached_property
from inspect import Parameter
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from airflow.sdk import BaseOperator

from airflow_provider_twilio._airflow.outcome import fail_on_permanent_errors
from airflow_provider_twilio._airflow.templates import (
    TextRendering,
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
    from airflow.sdk.definitions.mappedoperator import OperatorPartial
    from typing_extensions import Unpack

    from airflow_provider_twilio._airflow.parameters import OperatorParameters
    from airflow_provider_twilio.api.operation import BlockingClient
    from airflow_provider_twilio.runtime.background import BackgroundRunner
    from airflow_provider_twilio.runtime.polling.rotation import PatientClient

T = TypeVar("T")

COLORS = {
    "Messages": "#fbe0e4",
    "Calls": "#dcebfb",
    "IncomingPhoneNumbers": "#e0f3e3",
    "AvailablePhoneNumbers": "#e0f3e3",
    "Accounts": "#fdf0d5",
    "Balances": "#fdf0d5",
}
"""Color of an operator in Airflow's UI, by the resource of its operation."""

XCOM_KEYS = ("sid", "phone_number")
"""Fields of a record that are also pushed as XComs of their own, for ``send.output["sid"]`` in downstream tasks."""


def keyword_names(function: Callable[..., Any]) -> tuple[str, ...]:
    """Return the names of a function's keyword-only parameters, in order."""
    code = function.__code__
    return code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]


class TwilioOperator(TextRendering, BaseOperator):
    """An operator that runs one Twilio operation, and returns its record or list of records to XCom.

    A subclass names its operation and lists the operation's parameters in ``__init__``, where Airflow,
    ``default_args``, ``partial()`` and editors find them. All of them are templated.

    .. code-block:: python

        class FetchMessageOperator(TwilioOperator, operation=Messages.fetch):
            def __init__(self, *, message_sid: str, **kwargs: Any) -> None:
                super().__init__(**kwargs)
                self._set_arguments(locals())

    A template renders a string, which is parsed into the type of the parameter (see
    :func:`~airflow_provider_twilio._airflow.templates.parse_rendered`). If the string is empty, a request that creates
    a record omits the parameter, and a request that updates a record clears the field. An empty filter of a list is
    invalid, because Twilio would ignore it.

    In a DAG with ``render_template_as_native_obj=True``, text is not evaluated as Python: ``"+14155550100"`` keeps its
    plus sign, and ``"00"`` its zeros. A template of one expression renders the object, such as the list of an XCom.

    :param twilio_conn_id: Airflow connection. (templated)
    :param account_sid: Account to act on, if it is not the connection's own. (templated)
    """

    operation: ClassVar[Definition]
    _operation_arguments: ClassVar[tuple[str, ...]] = ()
    """The parameters that the operator has in common with its operation."""
    _extra_template_fields: ClassVar[tuple[str, ...]] = ()
    """Templated parameters of a subclass that are not the operation's."""
    _options: ClassVar[tuple[str, ...]] = ()
    """Parameters that every subclass of a base class accepts. They are not templated."""
    _parameter_names: ClassVar[tuple[str, ...]] = ("twilio_conn_id", "account_sid")
    """All parameters of ``__init__``, including those of the base classes."""

    _xcom_values: Mapping[str, Any] = {}
    _background: BackgroundRunner[Any] | None = None

    if TYPE_CHECKING:

        @property
        def output(self) -> Any:
            """The operator's XCom, as an argument of other tasks. Type checkers would reject Airflow's type."""

    ui_color = "#f4f4f6"
    ui_fgcolor = "#121c2d"

    def __init_subclass__(cls, operation: Callable[..., Any] | None = None, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        own = keyword_names(vars(cls)["__init__"]) if "__init__" in vars(cls) else ()
        cls._parameter_names = tuple(dict.fromkeys((*own, *cls._options, *cls._parameter_names)))
        if operation is not None:
            cls.operation = definition(operation)
            cls.ui_color = COLORS[str(cls.operation).split(".")[0]]
            cls._operation_arguments = tuple(name for name in cls.operation.names if name in own)
            cls.template_fields = (
                *cls._operation_arguments,
                *cls._extra_template_fields,
                "twilio_conn_id",
                "account_sid",
            )

    def __init__(
        self,
        *,
        twilio_conn_id: str = TwilioHook.default_conn_name,
        account_sid: str | None = None,
        **kwargs: Unpack[OperatorParameters],
    ) -> None:
        super().__init__(**kwargs)
        self.twilio_conn_id = twilio_conn_id
        self.account_sid = account_sid

    @classmethod
    def partial(cls, **kwargs: Any) -> OperatorPartial:
        """Return a mapped task. Its literals are checked at parse time, like those of an unmapped task."""
        arguments = {name: kwargs[name] for name in cls._parameter_names if name in kwargs}
        cls._check_parameters({**dict.fromkeys(cls._parameter_names, UNRESOLVED), **cls._literals(arguments)})
        return super().partial(**kwargs)

    def _set_arguments(self, arguments: Mapping[str, Any]) -> None:
        """Store the arguments of ``__init__`` unchanged as attributes, and check those that are literals.

        :param arguments: The ``locals()`` of ``__init__``.
        """
        attributes = {name: arguments[name] for name in arguments if name not in ("self", "kwargs", "__class__")}
        for name, value in attributes.items():
            setattr(self, name, value)
        if not is_mapped_at_runtime(self):
            inherited = {name: getattr(self, name) for name in self._parameter_names if hasattr(self, name)}
            self._check_parameters(self._literals(inherited | attributes))

    @classmethod
    def _literals(cls, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values that are known at parse time, and ``UNRESOLVED`` for all others."""
        return {
            name: cls._literal_of(name, value) if name in cls.template_fields else value
            for name, value in arguments.items()
        }

    @classmethod
    def _literal_of(cls, name: str, value: Any) -> Any:
        """Return a literal's value, and ``UNRESOLVED`` for a template or a time. A time may have passed at runtime."""
        if name in cls._operation_arguments and name in cls.operation.times and value is not None:
            return UNRESOLVED
        return resolve_literal(value)

    @classmethod
    def _check_parameters(cls, values: Mapping[str, Any]) -> None:
        """Check the literals among the parameters, at parse time.

        :param values: The values of all parameters by name, with ``UNRESOLVED`` for values that are not yet known.
        :raises BadParameter: If a literal is invalid.
        """
        if values["account_sid"] is not None:
            checks.sid("account_sid", values["account_sid"], "AC")
        if hasattr(cls, "operation"):
            names = (*cls._operation_arguments, *cls._extra_template_fields)
            cls.operation.check(cls._build_arguments({name: values[name] for name in names}))

    @classmethod
    def _build_arguments(cls, arguments: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments of the operation, after checks that the operation cannot make.

        A subclass with template fields of its own removes them from the arguments. The method is called at parse time,
        with ``UNRESOLVED`` for values that are not yet known, and again when the task runs.
        """
        return arguments

    @cached_property
    def hook(self) -> TwilioHook:
        """The hook of the connection and the account."""
        return TwilioHook(self.twilio_conn_id, self.account_sid)

    def _patient_client(self) -> PatientClient:
        """Return a client for a wait, which reads the connection again if Twilio rejects the credentials."""
        from airflow_provider_twilio.runtime.polling.rotation import PatientClient

        def reopen() -> BlockingClient:
            self.__dict__.pop("hook", None)
            return self.hook.client

        return PatientClient(self.hook.client, reopen)

    def _request(self, **overrides: Any) -> Any:
        """Build the operation's request or listing from the rendered arguments.

        :param overrides: Arguments that take precedence over those of the operator.
        """
        return self.operation.build(**self._build_arguments({**self._rendered_arguments(), **overrides}))

    def _rendered_arguments(self) -> dict[str, Any]:
        """Return the arguments, parsed from the strings that their templates have rendered."""
        names = (*self._operation_arguments, *self._extra_template_fields)
        return {name: self._rendered_argument(name, getattr(self, name)) for name in names}

    def _rendered_argument(self, name: str, value: Any) -> Any:
        parameters = self.operation.parameters
        is_sent = name not in parameters or parameters[name].kind is Parameter.KEYWORD_ONLY
        if is_sent and isinstance(value, str) and not value.strip():
            if self.operation.verb == "iter_records":
                raise BadParameter(name, "is empty", "leave it out to list all records, or pass a value")
            if all(parameter.kind is Parameter.KEYWORD_ONLY for parameter in parameters.values()):
                return None
        return parse_rendered(name, value, str(parameters[name].annotation) if name in parameters else "str")

    def execute(self, context: Context) -> Any:
        """Run the operation. Permanent errors fail the task without retry."""
        with fail_on_permanent_errors():
            request = self._request()
            client = self.hook.client
            try:
                result = client.iter_records(request) if isinstance(request, Listing) else client.send(request)
            except NotFound as error:
                # An earlier try may have been killed right after Twilio deleted the record.
                if request.parser is not NoContent or getattr(context.get("ti"), "try_number", 1) < 2:
                    raise
                self.log.info("Assuming that an earlier try deleted the record: %s", error)
                result = None
            return self._result(result)

    def _run_in_background(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in a background thread, and return its result. Killing the task cancels it."""
        from airflow_provider_twilio.runtime.background import BackgroundRunner

        runner = BackgroundRunner(coroutine)
        self._background = runner
        try:
            return runner.run()
        finally:
            self._background = None

    def on_kill(self) -> None:
        """Cancel the requests that have not started. The next try or a Clear resumes from there."""
        if runner := self._background:
            runner.cancel()

    @property
    def _title(self) -> str:
        """The operation's name in log messages."""
        return str(self.operation)

    def _result(self, result: Any) -> Any:
        """Return the value for XCom: a record, a list of records, or the SID of a deleted record."""
        if isinstance(result, Record):
            self.log.info("%s: %s", self._title, result)
            self._xcom_values = {name: result[name] for name in XCOM_KEYS if result.get(name)}
            return result
        if result is None:
            sid = getattr(self, next(iter(self.operation.parameters)))
            if self.hook.client.settings.dry_run:
                return Record(sid=sid, status=DRY_RUN)
            self.log.info("%s: Deleted %s", self._title, sid)
            return sid
        records = list(result)
        self.log.info("%s: Returned %d records", self._title, len(records))
        return records

    def post_execute(self, context: Context, result: Any = None) -> None:
        """Push the fields named in :data:`XCOM_KEYS` as XComs of their own."""
        if self.do_xcom_push:
            for name, value in self._xcom_values.items():
                context["ti"].xcom_push(key=name, value=value)
