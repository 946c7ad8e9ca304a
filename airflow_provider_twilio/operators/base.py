"""What all operators share: an operator is its signature, and the operation it runs."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Coroutine, Mapping, Sequence
from decimal import Decimal
from functools import cached_property
from inspect import Parameter, cleandoc
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from airflow.sdk import BaseOperator

from airflow_provider_twilio.api import checks
from airflow_provider_twilio.api.core import DRY_RUN, LATER, Definition, Listing, Nothing, Record, definition
from airflow_provider_twilio.api.errors import BadParameter, NotFound
from airflow_provider_twilio.hooks.twilio import TwilioHook, permanent_errors_fail

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_twilio.aside import Aside

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
NAMED = ("sid", "phone_number")


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


def runs(task: BaseOperator) -> bool:
    """Tell whether this is made of a mapped task that runs, not of a DAG file: then ``execute`` does the checks.

    An error of ``__init__`` would be retried there.
    """
    return bool(getattr(task, "_BaseOperator__from_mapped", False))


def unrendered(name: str, value: Any, annotation: str) -> Any:
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
            raise BadParameter(name, f"is not {wanted} ({checks.shape(value)})", f"give {wanted}")
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


def about(task_type: type) -> str | None:
    """Give what a class's docstring says before its parameters: the web UI shows it beside the task."""
    return cleandoc(task_type.__doc__ or "").split("\n:param", 1)[0].strip() or None


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
    own_template_fields: ClassVar[tuple[str, ...]] = ()
    """Further templated parameters of a subclass, beside the operation's."""

    _named: Mapping[str, Any] = {}
    _aside: Aside[Any] | None = None

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
                *cls.own_template_fields,
                "twilio_conn_id",
                "account_sid",
            )

    def __init__(
        self, *, twilio_conn_id: str = TwilioHook.default_conn_name, account_sid: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.doc_md = self.doc_md or about(type(self))
        self.twilio_conn_id = twilio_conn_id
        self.account_sid = account_sid
        if account_sid is not None and not runs(self):
            checks.sid("account_sid", known(account_sid), "AC")

    def keep(self, arguments: Mapping[str, Any]) -> None:
        """Keep the operation's arguments, unchanged, and check what of them is known already.

        :param arguments: the ``locals()`` of ``__init__``.
        """
        kept = {name: arguments[name] for name in (*self.operation.names, *self.own_template_fields)}
        for name, value in kept.items():
            setattr(self, name, value)
        if not runs(self):
            self.operation.check(self.arguments({name: self._known(name, value) for name, value in kept.items()}))

    def _known(self, name: str, value: Any) -> Any:
        """Tell what is known of a value when the DAG is parsed; of a time nothing, which may pass meanwhile."""
        return LATER if name in self.operation.times and value is not None else known(value)

    def arguments(self, given: dict[str, Any]) -> dict[str, Any]:
        """Turn what was given into the operation's own arguments, and check what the operation can't.

        This is for subclasses with template fields of their own: they take them out. It is called when the DAG is
        parsed, with :data:`LATER` for what isn't known yet, and again when the task runs.
        """
        return given

    @cached_property
    def hook(self) -> TwilioHook:
        return TwilioHook(self.twilio_conn_id, self.account_sid)

    def request(self, **instead: Any) -> Any:
        """Build the operation's Request, or Listing, from the rendered arguments.

        :param instead: arguments that take the place of those given to the operator.
        """
        return self.operation.build(**self.arguments({**self.rendered(), **instead}))

    def rendered(self) -> dict[str, Any]:
        """Read the arguments from what their templates have rendered: see the class."""
        names = (*self.operation.parameters, *self.own_template_fields)
        return {name: self._rendered(name, getattr(self, name)) for name in names}

    def _rendered(self, name: str, value: Any) -> Any:
        parameters = self.operation.parameters
        sent = name not in parameters or parameters[name].kind is Parameter.KEYWORD_ONLY
        if sent and isinstance(value, str) and not value.strip():
            if self.operation.verb == "walk":
                raise BadParameter(name, "is empty", "leave it out to list all, or give a value")
            if all(parameter.kind is Parameter.KEYWORD_ONLY for parameter in parameters.values()):
                return None
        return unrendered(name, value, str(parameters[name].annotation) if name in parameters else "str")

    def execute(self, context: Context) -> Any:
        """Run the operation. Errors that would come again fail the task at once."""
        with permanent_errors_fail():
            request = self.request()
            client = self.hook.client
            try:
                answer = client.walk(request) if isinstance(request, Listing) else client.send(request)
            except NotFound as error:
                # An earlier try may have been killed right after it had deleted it.
                if request.answer is not Nothing or getattr(context.get("ti"), "try_number", 1) < 2:
                    raise
                self.log.info("An earlier try has perhaps deleted it: %s", error)
                answer = None
            return self.result(answer)

    def beside(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run what does many things at once beside the task's main thread, till it ends or the task is killed."""
        from airflow_provider_twilio.aside import Aside

        aside = Aside(coroutine)
        self._aside = aside
        try:
            return aside.run()
        finally:
            self._aside = None

    def on_kill(self) -> None:
        """Begin nothing more of what runs beside. The next try, or Clear, goes on where this one was."""
        if aside := self._aside:
            aside.cancel()

    @property
    def title(self) -> str:
        """What the log calls it."""
        return str(self.operation)

    def result(self, answer: Any) -> Any:
        """Give what goes to XCom: the record, the list of records, or the SID of what was deleted."""
        if isinstance(answer, Record):
            self.log.info("%s: %s", self.title, answer)
            self._named = {name: answer[name] for name in NAMED if answer.get(name)}
            return answer
        if answer is None:
            sid = getattr(self, next(iter(self.operation.parameters)))
            if self.hook.client.settings.dry_run:
                return Record(sid=sid, status=DRY_RUN)
            self.log.info("%s: %s is deleted", self.title, sid)
            return sid
        records = list(answer)
        self.log.info("%s: %d records", self.title, len(records))
        return records

    def post_execute(self, context: Context, result: Any = None) -> None:
        """Push what other tasks want by its name, beside the record: see :data:`NAMED`."""
        if self.do_xcom_push:
            for name, value in self._named.items():
                context["ti"].xcom_push(key=name, value=value)
