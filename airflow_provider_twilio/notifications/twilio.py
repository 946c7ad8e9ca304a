"""``TwilioNotifier``: tell people, by message or by voice, and don't storm them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

from airflow.sdk import BaseNotifier

from airflow_provider_twilio._airflow import compat as _airflow
from airflow_provider_twilio._airflow.templates import parse_rendered, resolve_literal
from airflow_provider_twilio.api import checks
from airflow_provider_twilio.api.calls import Calls
from airflow_provider_twilio.api.errors import BadParameter, TwilioError
from airflow_provider_twilio.api.messages import Messages
from airflow_provider_twilio.api.operation import definition
from airflow_provider_twilio.api.values import UNRESOLVED, parse_int
from airflow_provider_twilio.hooks.twilio import TwilioHook
from airflow_provider_twilio.privacy import mask

if TYPE_CHECKING:  # loaded when there is something to tell: DAG files only import the notifier
    from airflow.sdk import Context

    from airflow_provider_twilio.notifications.alert import Alert
    from airflow_provider_twilio.notifications.modes import ExecutionMode
    from airflow_provider_twilio.notifications.quiet_hours import QuietHours

OF_CALLS = ("to", "from_")
VARIABLES = "content_variables"
OF_MESSAGES = ("to", "from_", "messaging_service_sid", "content_sid", VARIABLES)
"""What of a notifier's fields goes to Twilio as it is."""
Fallback = BaseNotifier | tuple[str, Mapping[str, Any]] | Sequence[Any]


class NotificationFailed(TwilioError):
    """Report that somebody was not told.

    :ivar errors: what went wrong, by recipient, whose numbers are masked.
    """

    def __init__(self, conn_id: str, errors: Mapping[str, Exception]) -> None:
        told = "; ".join(f"{who}: {type(error).__name__}: {mask(str(error))}" for who, error in errors.items())
        super().__init__(f"Not told, by the connection {conn_id}: {told}")
        self.errors = dict(errors)


class TwilioNotifier(BaseNotifier):
    """Tell people what happened, by message or by a call that reads it out.

    For the callbacks of tasks and DAGs, deadline alerts (``AsyncCallback(TwilioNotifier, kwargs={…})``) and
    human-in-the-loop tasks (``HITLOperator(notifiers=…)``). Nobody is told twice by one callback; what Twilio accepts
    is not waited for. Without ``dedupe_window`` and ``max_per_hour`` nothing is read from Twilio.

    Templates have, beside what the context holds, :class:`~airflow_provider_twilio.notifications.alert.Alert` as
    ``alert``, and ``var`` and ``conn`` also where Airflow gives none. A ``body`` that names what the context lacks is
    replaced by the default text, and the log says what was missing.

    :param to: one or several numbers in E.164, or channel addresses; a text may hold several, set apart by commas.
        (templated)
    :param from_: the sender, where the connection's extra ``from_`` isn't it. (templated)
    :param messaging_service_sid: the messaging service that chooses the sender. (templated)
    :param body: the text. Unless given: what failed, where and when, the link to the log, in one segment. (templated)
    :param content_sid: a content template instead, as WhatsApp wants it. (templated)
    :param content_variables: the template's variables, as a mapping. (templated)
    :param call: place calls that read the text out.
    :param voice: of a call, one of Twilio's, such as ``Polly.Joanna``. (templated)
    :param language: of a call, a language tag, such as ``en-GB``. (templated)
    :param max_segments: shorten the text to so many segments. The default text has one unless told, a ``body`` as
        many as it takes, within Twilio's 1600 characters.
    :param only_last_try: say nothing of a try that is followed by another.
    :param dedupe_window: seconds, or a timedelta, in which the same alert (DAG, task and what happened) is told to the
        same person once.
    :param max_per_hour: how many alerts somebody has in any hour, at the most, of all that are limited so.
    :param quiet_hours: start, end and time zone, such as ``("22:00", "07:00", "Europe/Berlin")``: alerts are scheduled
        for their end where a messaging service sends them, else held back.
    :param fallback: told when anybody could not be: another notifier, or its class path and arguments.
    :param on_error: ``raise`` an error after the fallback, or only ``log`` it, where raising would hurt.
    :param twilio_conn_id: the Airflow connection. (templated)
    :param account_sid: the account to act on, where it isn't the connection's own. (templated)
    :raises BadParameter: what is literal is wrong.
    :raises NotificationFailed: after all recipients, and the fallback, were tried.

    https://www.twilio.com/docs/messaging/api/message-resource#create-a-message-resource
    """

    template_fields = (
        "to",
        "from_",
        "messaging_service_sid",
        "body",
        "content_sid",
        "content_variables",
        "voice",
        "language",
        "twilio_conn_id",
        "account_sid",
    )

    burst_window = 10.0
    """Seconds over which callbacks spread that find as many alerts as there may be, and none that says so."""
    time_budget = 20.0
    """Seconds outside a task after which nobody more is told: the DAG processor kills what takes longer than
    ``dag_file_processor_timeout`` (50), the fallback too."""

    def __init__(
        self,
        *,
        to: str | Sequence[str],
        from_: str | None = None,
        messaging_service_sid: str | None = None,
        body: str | None = None,
        content_sid: str | None = None,
        content_variables: Mapping[str, Any] | None = None,
        call: bool = False,
        voice: str | None = None,
        language: str | None = None,
        max_segments: int | None = None,
        only_last_try: bool = False,
        dedupe_window: timedelta | float | None = None,
        max_per_hour: int | None = None,
        quiet_hours: Sequence[str] | None = None,
        fallback: Fallback | None = None,
        on_error: Literal["raise", "log"] = "raise",
        twilio_conn_id: str = TwilioHook.default_conn_name,
        account_sid: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.to = to
        self.from_ = from_
        self.messaging_service_sid = messaging_service_sid
        self.body = body
        self.content_sid = content_sid
        self.content_variables = content_variables
        self.call = call
        self.voice = voice
        self.language = language
        self.max_segments = parse_int("max_segments", max_segments, 1)
        self.only_last_try = only_last_try
        self.dedupe_window = _window(dedupe_window)
        self.max_per_hour = parse_int("max_per_hour", max_per_hour, 1)
        self.quiet_hours = None if quiet_hours is None else _quiet(quiet_hours)
        self.fallback = fallback
        self.on_error = on_error
        self.twilio_conn_id = twilio_conn_id
        self.account_sid = account_sid
        self._check()

    def _check(self) -> None:
        """Hold what is literal against Twilio's rules."""
        checks.choice("on_error", self.on_error, ("raise", "log"))
        if self.account_sid is not None:
            checks.sid("account_sid", resolve_literal(self.account_sid), "AC")
        if self.call:
            for name in ("messaging_service_sid", "content_sid", "content_variables", "max_segments"):
                if checks.is_set(getattr(self, name)):
                    raise BadParameter(name, "is given with call=True", "it is of messages: leave it out")
        elif checks.is_set(self.voice) or checks.is_set(self.language):
            raise BadParameter("voice and language", "are given without call=True", "they are of calls: leave them out")
        checks.only_one_of(body=self.body, content_sid=self.content_sid)
        if not isinstance(self.content_variables, Mapping | None):
            raise BadParameter("content_variables", "is no mapping", 'give it as {"1": "…"}')
        fields = {name: resolve_literal(getattr(self, name)) for name in self.template_fields}
        recipients = [UNRESOLVED] if resolve_literal(self.to) is UNRESOLVED else _recipients(self.to)
        for to in recipients:
            arguments = {**fields, "to": to}
            operation, names = (Calls.create, OF_CALLS) if self.call else (Messages.create, OF_MESSAGES)
            own = {"twiml": UNRESOLVED} if self.call else {} if self.content_sid else {"body": UNRESOLVED}
            definition(operation).check({name: arguments[name] for name in names} | own)
        if not self.context:  # else it is told already, and an unfit fallback must not keep it from being told
            self._make_fallback()

    def _make_fallback(self) -> BaseNotifier | None:
        given: Any = self.fallback
        if given is None or isinstance(given, BaseNotifier):
            return given
        remedy = 'give a notifier, or its class path and arguments: ("package.module.Class", {"to": …})'
        if isinstance(given, str) or not isinstance(given, Sequence) or len(given) != 2:
            raise BadParameter("fallback", "is neither", remedy)
        path, arguments = given
        module, _, name = str(path).rpartition(".")
        try:
            made = getattr(import_module(module), name)(**arguments)
        except (ImportError, AttributeError, ValueError) as error:
            if isinstance(error, BadParameter):
                raise
            raise BadParameter("fallback", f"can't be made of {path} ({error})", remedy) from None
        if not isinstance(made, BaseNotifier):
            raise BadParameter("fallback", f"is a {type(made).__name__}", remedy)
        return made

    def render_template_fields(self, context: Context, jinja_env: Any = None) -> None:
        """Leave the fields alone: one notifier serves many callbacks of a process, each with a context of its own."""

    def notify(self, context: Context) -> None:
        """Tell, and return when all recipients were tried."""
        from airflow_provider_twilio.notifications.modes import SyncMode, run_to_completion

        run_to_completion(self._notify(context, SyncMode()))

    async def async_notify(self, context: Context) -> None:
        """Tell, and return when all recipients were tried."""
        from airflow_provider_twilio.notifications.modes import AsyncMode

        await self._notify(context, AsyncMode())

    # ------------------------------------------------------------ what both do

    async def _notify(self, context: Mapping[str, Any], way: ExecutionMode) -> None:
        from airflow_provider_twilio.notifications.alert import Alert
        from airflow_provider_twilio.notifications.dispatch import Dispatch
        from airflow_provider_twilio.notifications.modes import TimeBoxedClient

        alert = Alert.of(context)
        if self.only_last_try and alert.to_be_retried:
            self.log.info("Nobody is told: %s, try %s of %s", alert.event, alert.try_number, alert.tries)
            return
        errors: dict[str, Exception] = {}
        conn_id = self.twilio_conn_id
        try:
            fields = await way.run(self._rendered, context, alert)
            conn_id = fields["twilio_conn_id"]
            recipients = _recipients(fields["to"])
            async with way.client(TwilioHook(conn_id, fields["account_sid"])) as own:
                client = own if "exception" in context else TimeBoxedClient(own, self.time_budget)
                for to in recipients:
                    try:
                        await Dispatch(self, alert, {**fields, "to": to}, client, way).tell(context)
                    except Exception as error:
                        errors[mask(str(to))] = error
        except Exception as error:
            errors["nobody"] = error
        if errors:
            await self._failed(NotificationFailed(conn_id, errors), context, way)

    async def _failed(self, failure: NotificationFailed, context: Mapping[str, Any], way: ExecutionMode) -> None:
        if self.fallback is not None:
            self.log.error("%s. The fallback is tried", failure)
            try:
                if fallback := self._make_fallback():
                    await way.notify(fallback, context)
            except Exception as error:
                failure.add_note(f"The fallback failed, too: {type(error).__name__}: {mask(str(error))}")
                self.log.error("The fallback failed, too: %s: %s", type(error).__name__, mask(str(error)))
            else:
                self.log.warning("The fallback was told")
        if self.on_error == "raise":
            raise failure from next(iter(failure.errors.values()))
        self.log.error("%s", failure)

    def _rendered(self, context: Mapping[str, Any], alert: Alert) -> dict[str, Any]:
        """Render the fields into values of their own."""
        from jinja2 import StrictUndefined

        from airflow_provider_twilio.notifications.dispatch import fits_segments

        dag = context.get("dag")
        environment = self.get_template_env(dag)
        if dag is None:  # else the DAG decides what a name that is missing does
            environment.undefined = StrictUndefined
        offered: Any = {**_airflow.template_accessors(), "run_id": alert.run_id, **context, "alert": alert}
        run = offered.get("dag_run", {})
        if isinstance(run, Mapping):  # a deadline's has other names, and a DAG's may have none
            offered["dag_run"] = {"dag_id": alert.dag_id, "run_id": alert.run_id, **run}

        def rendered(name: str, value: Any) -> Any:
            try:
                given = self.render_template(value, offered, environment)
            except Exception as error:
                what = f"{type(error).__name__}: {mask(str(_airflow.redact(str(error))))}"
                if name not in ("body", VARIABLES):
                    raise BadParameter(name, f"can't be rendered ({what})", "mend the template") from None
                self.log.warning("%s can't be rendered, the default text takes its place: %s", name, what)
                return None if name == "body" else alert.fit(partial(fits_segments, 1))
            return given if isinstance(given, str | Sequence) or given is None else str(given)

        fields = {name: rendered(name, getattr(self, name)) for name in self.template_fields if name != VARIABLES}
        fields = {name: value if name == "body" else _meant(name, value) for name, value in fields.items()}
        variables = self.content_variables
        fields[VARIABLES] = variables and {key: rendered(VARIABLES, value) for key, value in variables.items()}
        return fields


def _window(given: timedelta | float | None) -> timedelta | None:
    if given is None or isinstance(given, timedelta):
        window = given
    else:
        checks.between("dedupe_window", given, 0, timedelta.max.total_seconds(), " seconds, or a timedelta")
        window = timedelta(seconds=given)
    if window is not None and window <= timedelta(0):
        raise BadParameter("dedupe_window", "is not more than nothing", "give seconds, a timedelta, or leave it out")
    return window


def _quiet(given: Sequence[str]) -> QuietHours:
    from airflow_provider_twilio.notifications.quiet_hours import QuietHours

    return QuietHours.read(given)


def _recipients(given: Any) -> list[str]:
    """Read one or several recipients; a text may hold several, as a Variable does."""
    several = given.split(",") if isinstance(given, str) else given
    if not isinstance(several, Sequence) or not several:
        raise BadParameter("to", f"is {checks.describe(given)}", "give a number, or a list with at least one")
    return list(dict.fromkeys(one.strip() if isinstance(one, str) else one for one in several))


def _meant(name: str, value: Any) -> Any:
    """Read what a template has rendered, as operators do; an empty text is left out."""
    meant = parse_rendered(name, value, "str | Sequence[str]" if name == "to" else "str")
    return None if isinstance(meant, str) and not meant.strip() else meant


send_twilio_notification = TwilioNotifier
