"""``TwilioNotifier``: a notifier that sends messages or places calls, with limits against floods of alerts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, Unpack

from airflow.sdk import BaseNotifier

from airflow_provider_twilio._airflow.templates import TextRendering, resolve_literal
from airflow_provider_twilio.api import checks
from airflow_provider_twilio.api.calls import Calls
from airflow_provider_twilio.api.errors import BadParameter, TwilioError
from airflow_provider_twilio.api.messages import Messages
from airflow_provider_twilio.api.operation import definition
from airflow_provider_twilio.api.values import UNRESOLVED, parse_int
from airflow_provider_twilio.hooks.twilio import TwilioHook
from airflow_provider_twilio.notifications.policy import CALL_FIELDS, CONTENT_VARIABLES, MESSAGE_FIELDS, AlertPolicy
from airflow_provider_twilio.privacy import mask

if TYPE_CHECKING:  # imported when an alert is sent: DAG files only construct the notifier
    from airflow.sdk import Context

    from airflow_provider_twilio._airflow.parameters import NotifierParameters
    from airflow_provider_twilio.notifications.modes import ExecutionMode
    from airflow_provider_twilio.notifications.quiet_hours import QuietHours

Fallback = BaseNotifier | tuple[str, Mapping[str, Any]] | Sequence[Any]


class NotificationFailed(TwilioError):
    """At least one recipient could not be notified.

    :ivar errors: The errors by recipient. Phone numbers are masked.
    """

    def __init__(self, conn_id: str, errors: Mapping[str, Exception]) -> None:
        faults = "; ".join(
            f"{recipient}: {type(error).__name__}: {mask(str(error))}" for recipient, error in errors.items()
        )
        super().__init__(f"Notification failed (connection {conn_id}): {faults}")
        self.errors = dict(errors)


class TwilioNotifier(TextRendering, BaseNotifier):
    """Notify people of an event by message, or by a call that reads the alert out.

    For callbacks of tasks and DAGs, deadline alerts (``AsyncCallback(TwilioNotifier, kwargs={…})``) and
    human-in-the-loop tasks (``HITLOperator(notifiers=…)``).

    .. code-block:: python

        DAG("orders", default_args={"on_failure_callback": TwilioNotifier(to="+14155550123", max_per_hour=5)})

    The notifier does not wait for delivery. Without ``dedupe_window`` and ``max_per_hour`` it reads nothing from
    Twilio. It writes nothing to XCom.

    In addition to the callback's context, templates can use
    :class:`~airflow_provider_twilio.notifications.alert.Alert` as ``alert``, and ``var`` and ``conn`` in every
    callback. If ``body`` refers to a name that the context lacks, the default text is sent and a warning is logged.

    :param to: One or several phone numbers in E.164 format or channel addresses. A string may hold several, separated
        by commas, semicolons, spaces or line breaks. (templated)
    :param from_: The sender. By default the connection's ``from_`` or ``messaging_service_sid``. (templated)
    :param messaging_service_sid: The messaging service that chooses the sender. (templated)
    :param body: The message text. By default the event, the task, the time and the link to the log, in one segment.
        (templated)
    :param content_sid: A content template instead of a text, as WhatsApp requires it. (templated)
    :param content_variables: The variables of the content template, as a mapping. (templated)
    :param call: Whether to place calls that read the text out, instead of sending messages.
    :param voice: The voice of a call, such as ``Polly.Joanna``. (templated)
    :param language: The language tag of a call, such as ``en-GB``. (templated)
    :param max_segments: Maximum number of segments of a message; longer texts are shortened. By default one for the
        default text, and no limit but Twilio's 1,600 characters for ``body``.
    :param only_last_try: Whether to skip failed tries that are followed by another try.
    :param dedupe_window: Time, in seconds or as a timedelta, in which a recipient gets the same alert (the same DAG,
        task and event) only once.
    :param max_per_hour: Maximum number of alerts that a recipient gets in any hour, counted over all notifiers with
        ``max_per_hour`` or ``dedupe_window``.
    :param quiet_hours: Start, end and time zone, such as ``("22:00", "07:00", "Europe/Berlin")``. Alerts are scheduled
        for the end if a messaging service sends them, and held back otherwise.
    :param fallback: Another notifier, or its class path and arguments, that is run if a recipient could not be
        notified.
    :param on_error: Whether to ``raise`` an error after the fallback has run, or only to ``log`` it.
    :param twilio_conn_id: The Airflow connection. (templated)
    :param account_sid: The account to act on, if it is not the connection's own. (templated)
    :raises BadParameter: When a literal argument is invalid.
    :raises NotificationFailed: When a recipient could not be notified, after all recipients and the fallback were
        tried.

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

    burst_window: float = 10.0
    """Time, in seconds, over which simultaneous callbacks above ``max_per_hour`` spread before they read again."""
    time_budget: float = 20.0
    """Maximum time, in seconds, for all recipients and the fallback.

    It is less where Airflow would end the process earlier: a task's own process after ``[core] task_success_overtime``
    (20 s), and the DAG processor after ``[dag_processor] dag_file_processor_timeout`` (50 s).
    """

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
        **kwargs: Unpack[NotifierParameters],
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
        self.dedupe_window = _parse_window(dedupe_window)
        self.max_per_hour = parse_int("max_per_hour", max_per_hour, 1)
        self.quiet_hours = None if quiet_hours is None else _parse_quiet_hours(quiet_hours)
        self.fallback = fallback
        self.on_error = on_error
        self.twilio_conn_id = twilio_conn_id
        self.account_sid = account_sid
        self._check()

    def _check(self) -> None:
        """Check the literal arguments against Twilio's rules.

        :raises BadParameter: When an argument is invalid.
        """
        checks.choice("on_error", self.on_error, ("raise", "log"))
        if self.account_sid is not None:
            checks.sid("account_sid", resolve_literal(self.account_sid), "AC")
        if self.call:
            for name in ("messaging_service_sid", "content_sid", CONTENT_VARIABLES, "max_segments"):
                if checks.is_set(getattr(self, name)):
                    raise BadParameter(name, "is given with call=True", "remove it: it applies to messages only")
        elif checks.is_set(self.voice) or checks.is_set(self.language):
            raise BadParameter(
                "voice and language", "are given without call=True", "remove them: they apply to calls only"
            )
        checks.only_one_of(body=self.body, content_sid=self.content_sid)
        if not isinstance(self.content_variables, Mapping | None):
            raise BadParameter(CONTENT_VARIABLES, "is not a mapping", 'pass a mapping such as {"1": "…"}')
        fields = {name: resolve_literal(getattr(self, name)) for name in self.template_fields}
        recipients = [UNRESOLVED] if resolve_literal(self.to) is UNRESOLVED else _parse_recipients(self.to)
        for to in recipients:
            arguments = {**fields, "to": to}
            operation, names = (Calls.create, CALL_FIELDS) if self.call else (Messages.create, MESSAGE_FIELDS)
            own = {"twiml": UNRESOLVED} if self.call else {} if self.content_sid else {"body": UNRESOLVED}
            definition(operation).check({name: arguments[name] for name in names} | own)
        # With a context the callback is already running: an invalid fallback must not prevent the alert itself.
        if not self.context:
            _build_fallback(self.fallback)

    def render_template_fields(self, context: Context, jinja_env: Any = None) -> None:
        """Leave the fields unrendered.

        One notifier serves many callbacks of a process, each with its own context, and renders into copies.
        """

    def notify(self, context: Context) -> None:
        """Notify all recipients, blocking until each was tried.

        :raises NotificationFailed: When a recipient could not be notified and ``on_error`` is ``raise``.
        """
        from airflow_provider_twilio.notifications.modes import SyncMode, run_to_completion

        run_to_completion(self._notify(context, SyncMode()))

    async def async_notify(self, context: Context) -> None:
        """Notify all recipients without blocking the event loop.

        :raises NotificationFailed: When a recipient could not be notified and ``on_error`` is ``raise``.
        """
        from airflow_provider_twilio.notifications.modes import AsyncMode

        await self._notify(context, AsyncMode())

    async def _notify(self, context: Mapping[str, Any], mode: ExecutionMode) -> None:
        from airflow_provider_twilio.notifications.alert import Alert
        from airflow_provider_twilio.notifications.dispatch import Dispatch
        from airflow_provider_twilio.notifications.modes import TimeBoxedClient
        from airflow_provider_twilio.notifications.rendering import render_fields
        from airflow_provider_twilio.notifications.time_budget import compute_deadline, inherit_deadline, own_share

        deadline = compute_deadline(context, self.time_budget, blocking=mode.is_blocking)
        alert = Alert.from_context(context)
        if self.only_last_try and alert.will_retry:
            self.log.info("Not notifying (only_last_try): try %s of %s %s", alert.try_number, alert.tries, alert.event)
            return
        errors: dict[str, Exception] = {}
        conn_id = self.twilio_conn_id
        try:
            fields = await mode.run(render_fields, self, context, alert)
            conn_id = fields["twilio_conn_id"]
            recipients = _parse_recipients(fields["to"])
            async with mode.open_client(TwilioHook(conn_id, fields["account_sid"])) as unlimited_client:
                client = TimeBoxedClient(unlimited_client, own_share(deadline, self.fallback))
                for to in recipients:
                    dispatch = Dispatch(
                        policy=self._policy,
                        alert=alert,
                        fields={**fields, "to": to},
                        client=client,
                        mode=mode,
                        context=context,
                        log=self.log,
                    )
                    try:
                        await dispatch.send()
                    except Exception as error:
                        errors[mask(str(to))] = error
        except Exception as error:
            errors["all recipients"] = error
        if errors:
            with inherit_deadline(deadline):
                await self._handle_failure(NotificationFailed(conn_id, errors), context, mode)

    @property
    def _policy(self) -> AlertPolicy:
        return AlertPolicy(
            call=self.call,
            max_segments=self.max_segments,
            dedupe_window=self.dedupe_window,
            max_per_hour=self.max_per_hour,
            quiet_hours=self.quiet_hours,
            burst_window=self.burst_window,
        )

    async def _handle_failure(
        self, failure: NotificationFailed, context: Mapping[str, Any], mode: ExecutionMode
    ) -> None:
        if self.fallback is not None:
            self.log.error("%s. Running the fallback", failure)
            try:
                if fallback := _build_fallback(self.fallback):
                    await mode.notify(fallback, context)
            except Exception as error:
                failure.add_note(f"The fallback failed, too: {type(error).__name__}: {mask(str(error))}")
                self.log.error("Fallback failed, too: %s: %s", type(error).__name__, mask(str(error)))
            else:
                self.log.warning("Fallback succeeded")
        if self.on_error == "raise":
            raise failure from next(iter(failure.errors.values()))
        self.log.error("%s", failure)


def _build_fallback(fallback: Any) -> BaseNotifier | None:
    """Return the fallback notifier, constructed if it is given as a class path and arguments.

    :raises BadParameter: When it is neither, or cannot be constructed.
    """
    if fallback is None or isinstance(fallback, BaseNotifier):
        return fallback
    remedy = 'pass a notifier, or its class path and arguments: ("package.module.Class", {"to": …})'
    if isinstance(fallback, str) or not isinstance(fallback, Sequence) or len(fallback) != 2:
        raise BadParameter("fallback", "is neither a notifier nor a class path with arguments", remedy)
    path, arguments = fallback
    module, _, name = str(path).rpartition(".")
    try:
        notifier = getattr(import_module(module), name)(**arguments)
    except (ImportError, AttributeError, ValueError) as error:
        if isinstance(error, BadParameter):
            raise
        raise BadParameter("fallback", f"cannot be constructed from {path} ({error})", remedy) from None
    if not isinstance(notifier, BaseNotifier):
        raise BadParameter("fallback", f"is a {type(notifier).__name__}", remedy)
    return notifier


def _parse_window(value: timedelta | float | None) -> timedelta | None:
    if value is None or isinstance(value, timedelta):
        window = value
    else:
        checks.between("dedupe_window", value, 0, timedelta.max.total_seconds(), " seconds, or a timedelta")
        window = timedelta(seconds=value)
    if window is not None and window <= timedelta(0):
        raise BadParameter("dedupe_window", "is not positive", "pass seconds or a timedelta, or remove it")
    return window


def _parse_quiet_hours(value: Sequence[str]) -> QuietHours:
    from airflow_provider_twilio.notifications.quiet_hours import QuietHours

    return QuietHours.parse(value)


def _parse_recipients(value: Any) -> list[Any]:
    """Return the distinct recipients of a list, or of a string that may hold several, as a Variable does."""
    from airflow_provider_twilio.api.recipients import split_recipients  # not needed to import the notifier

    remedy = "pass a phone number, or a list with at least one"
    if not value or not isinstance(value, Sequence):
        raise BadParameter("to", f"is {checks.describe(value)}", remedy)
    if recipients := split_recipients(value):
        return recipients
    raise BadParameter("to", "is a list without a recipient", remedy)


send_twilio_notification = TwilioNotifier
