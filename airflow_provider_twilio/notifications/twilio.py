"""``TwilioNotifier``: tell people, by message or by voice, and don't storm them."""

from __future__ import annotations

import asyncio
import random
import time
import unicodedata
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

from airflow.sdk import BaseNotifier

from airflow_provider_twilio import _airflow
from airflow_provider_twilio.api import checks, twiml
from airflow_provider_twilio.api.calls import Calls
from airflow_provider_twilio.api.core import LATER, Request, definition, whole
from airflow_provider_twilio.api.errors import BadParameter, TwilioError
from airflow_provider_twilio.api.messages import LONGEST_BODY, SOONEST, Messages
from airflow_provider_twilio.hooks.twilio import TwilioHook
from airflow_provider_twilio.notifications import storm
from airflow_provider_twilio.notifications.alert import Alert, clock
from airflow_provider_twilio.notifications.quiet import QuietHours
from airflow_provider_twilio.operators.base import known, unrendered
from airflow_provider_twilio.privacy import mask

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_twilio.client.settings import Settings

T = TypeVar("T")
Fallback = BaseNotifier | tuple[str, Mapping[str, Any]] | Sequence[Any]

LONGEST_SPEECH = 3000
"""Characters that a call says at the most, escaped: with what is around them there may be 4000."""
MARGIN = timedelta(minutes=1)
"""How much later than the soonest that Twilio takes a message is scheduled."""
HURRY = {"timeout": 8.0, "retries": 1, "retry_max_wait": 3.0}
"""How long Twilio is waited for outside a task: the DAG processor kills callbacks that take long, without a word."""


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

    apart = 10.0
    """Seconds over which callbacks spread that find as many alerts as there may be, and none that says so."""

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
        self.max_segments = whole("max_segments", max_segments, 1)
        self.only_last_try = only_last_try
        self.dedupe_window = _window(dedupe_window)
        self.max_per_hour = whole("max_per_hour", max_per_hour, 1)
        self.quiet_hours = None if quiet_hours is None else QuietHours.read(quiet_hours)
        self.fallback = fallback
        self.on_error = on_error
        self.twilio_conn_id = twilio_conn_id
        self.account_sid = account_sid
        self._check()

    def _check(self) -> None:
        """Hold what is literal against Twilio's rules."""
        checks.choice("on_error", self.on_error, ("raise", "log"))
        if self.account_sid is not None:
            checks.sid("account_sid", known(self.account_sid), "AC")
        if self.call:
            for name in ("messaging_service_sid", "content_sid", "content_variables", "max_segments"):
                if checks.given(getattr(self, name)):
                    raise BadParameter(name, "is given with call=True", "it is of messages: leave it out")
        elif checks.given(self.voice) or checks.given(self.language):
            raise BadParameter("voice and language", "are given without call=True", "they are of calls: leave them out")
        checks.only_one_of(body=self.body, content_sid=self.content_sid)
        if not isinstance(self.content_variables, Mapping | None):
            raise BadParameter("content_variables", "is no mapping", 'give it as {"1": "…"}')
        fields = {name: known(getattr(self, name)) for name in self.template_fields}
        recipients = [LATER] if known(self.to) is LATER else _recipients(self.to)
        for to in recipients:
            arguments = {**fields, "to": to}
            operation, names = (Calls.create, _OF_CALLS) if self.call else (Messages.create, _OF_MESSAGES)
            own = {"twiml": LATER} if self.call else {} if self.content_sid else {"body": LATER}
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
        _finish(self._notify(context, _Blocking()))

    async def async_notify(self, context: Context) -> None:
        """Tell, and return when all recipients were tried."""
        await self._notify(context, _Awaiting())

    # ------------------------------------------------------------ what both do

    async def _notify(self, context: Mapping[str, Any], way: _Way) -> None:
        alert = Alert.of(context)
        if self.only_last_try and alert.to_be_retried:
            self.log.info("Nobody is told: %s, try %s of %s", alert.what, alert.try_number, alert.tries)
            return
        errors: dict[str, Exception] = {}
        conn_id = self.twilio_conn_id
        try:
            fields = await way.run(self._rendered, context, alert)
            conn_id = fields["twilio_conn_id"]
            recipients = _recipients(fields["to"])
            hurry = {} if "exception" in context else HURRY
            async with way.client(TwilioHook(conn_id, fields["account_sid"]), hurry) as client:
                for to in recipients:
                    try:
                        await _Telling(self, alert, {**fields, "to": to}, client, way).tell(context)
                    except Exception as error:
                        errors[mask(str(to))] = error
        except Exception as error:
            errors["nobody"] = error
        if errors:
            await self._failed(NotificationFailed(conn_id, errors), context, way)

    async def _failed(self, failure: NotificationFailed, context: Mapping[str, Any], way: _Way) -> None:
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

        dag = context.get("dag")
        environment = self.get_template_env(dag)
        if dag is None:  # else the DAG decides what a name that is missing does
            environment.undefined = StrictUndefined
        offered: Any = {**_airflow.accessors(), "run_id": alert.run_id, **context, "alert": alert}
        run = offered.get("dag_run", {})
        if isinstance(run, Mapping):  # a deadline's has other names, and a DAG's may have none
            offered["dag_run"] = {"dag_id": alert.dag_id, "run_id": alert.run_id, **run}

        def rendered(name: str, value: Any) -> Any:
            try:
                given = self.render_template(value, offered, environment)
            except Exception as error:
                what = f"{type(error).__name__}: {mask(str(_airflow.redact(str(error))))}"
                if name not in ("body", "content_variables"):
                    raise BadParameter(name, f"can't be rendered ({what})", "mend the template") from None
                self.log.warning("%s can't be rendered, the default text takes its place: %s", name, what)
                return None if name == "body" else alert.within(partial(_within, 1))
            return given if isinstance(given, str | Sequence) or given is None else str(given)

        fields = {name: rendered(name, getattr(self, name)) for name in self.template_fields if name != _VARIABLES}
        fields = {name: value if name == "body" else _meant(name, value) for name, value in fields.items()}
        variables = self.content_variables
        fields[_VARIABLES] = variables and {key: rendered(_VARIABLES, value) for key, value in variables.items()}
        return fields


_VARIABLES = "content_variables"
_OF_CALLS = ("to", "from_")
_OF_MESSAGES = ("to", "from_", "messaging_service_sid", "content_sid", _VARIABLES)


def _window(given: timedelta | float | None) -> timedelta | None:
    if given is None or isinstance(given, timedelta):
        window = given
    else:
        checks.between("dedupe_window", given, 0, timedelta.max.total_seconds(), " seconds, or a timedelta")
        window = timedelta(seconds=given)
    if window is not None and window <= timedelta(0):
        raise BadParameter("dedupe_window", "is not more than nothing", "give seconds, a timedelta, or leave it out")
    return window


def _recipients(given: Any) -> list[str]:
    """Read one or several recipients; a text may hold several, as a Variable does."""
    several = given.split(",") if isinstance(given, str) else given
    if not isinstance(several, Sequence) or not several:
        raise BadParameter("to", f"is {checks.shape(given)}", "give a number, or a list with at least one")
    return list(dict.fromkeys(one.strip() if isinstance(one, str) else one for one in several))


def _meant(name: str, value: Any) -> Any:
    """Read what a template has rendered, as operators do; an empty text is left out."""
    meant = unrendered(name, value, "str | Sequence[str]" if name == "to" else "str")
    return None if isinstance(meant, str) and not meant.strip() else meant


def _within(most: int | None, text: str) -> bool:
    """Tell whether a text fits in so many segments, and into a message at all."""
    from airflow_provider_twilio.api import segments

    return len(text) <= LONGEST_BODY and (most is None or segments.count(text).segments <= most)


# ---------------------------------------------------------------- one recipient


@dataclass(frozen=True)
class _Telling:
    """Tell one recipient."""

    notifier: TwilioNotifier
    alert: Alert
    fields: Mapping[str, Any]
    client: _Client
    way: _Way

    async def tell(self, context: Mapping[str, Any]) -> None:
        """Tell, unless it is to be held back."""
        notifier, who = self.notifier, mask(str(self.fields["to"]))
        draft = self.client.settings.resolve(self._request())
        due, quiet = None, notifier.quiet_hours
        if quiet and (end := quiet.until(datetime.now(UTC))):
            if not (service := draft.get("MessagingServiceSid")):
                notifier.log.warning("%s is not told: it is quiet until %s", who, clock(end, quiet.zone))
                return
            due = max(end, datetime.now(UTC) + SOONEST + MARGIN)
            scheduled = {"messaging_service_sid": service, "send_at": due, "schedule_type": "fixed"}
        notes = await self._judge(draft, due, who, context)
        if notes is None:
            return
        record = await self.client.send(self._request(*notes, **(scheduled if due else {})))
        notifier.log.info("%s is told%s: %s", who, f" at {self._at(due)}" if due else "", record)

    async def _judge(
        self, draft: Request[Any], due: datetime | None, who: str, context: Mapping[str, Any]
    ) -> list[str] | None:
        """Give what to say of alerts that were, or will be, held back; None if this one is held back itself."""
        log, window, most = self.notifier.log, self.notifier.dedupe_window, self.notifier.max_per_hour
        if not (window or most):
            return []
        for patience in (self.notifier.apart, 0):
            past = await self._past(draft, due)
            if past is None:
                return []
            if window and (told := past.repeats(self.alert.tag if self._tagged else None, window)):
                log.info("%s is not told: the same was told at %s", who, self._at(told))
                return None
            held = past.held_until(most) if most else None
            if not held:
                break
            if past.is_announced() or not self._tagged:
                log.warning("%s is not told: there were %d in an hour; held back until %s", who, most, self._at(held))
                return None
            # The last ones went out at one instant, and none knew. One of those that come after it says so.
            await self.way.sleep(random.uniform(0, patience))  # noqa: S311 (no secret)
        return await self._notes(past, held, context) if most else []

    async def _past(self, draft: Request[Any], due: datetime | None) -> storm.Past | None:
        """Read the log; None where that fails: it is rather told once too often."""
        try:
            log = await self.client.send(storm.reading(draft))
        except Exception as error:
            self.notifier.log.warning("Twilio's log can't be read, so nothing is held back: %s", mask(str(error)))
            return None
        return log.past(due, tagged=self._tagged)

    async def _notes(self, past: storm.Past, held: datetime | None, context: Mapping[str, Any]) -> list[str]:
        notes, most = [], self.notifier.max_per_hour or 1
        if not held and (since := past.held_since(most)):
            runs = {self.alert.run_id, *(run for one in past.last(most) for run in one.runs(self.alert.dag_id))}
            failed = await self.way.failed(context, self.alert.dag_id, sorted(runs))
            if failed is None:
                notes.append(f"Since {self._at(since)} some may have been held back.")
            elif failed > most:
                notes.append(f"Since {self._at(since)} some were held back: {failed} tasks failed.")
        if until := held or past.closes_until(most):
            notes.append(f"{storm.CLOSED} {self._at(until)}.")
        return notes

    def _at(self, when: datetime) -> str:
        return clock(when, self._zone)

    @property
    def _zone(self) -> Any:
        return self.notifier.quiet_hours.zone if self.notifier.quiet_hours else UTC

    @property
    def _tagged(self) -> bool:
        """Whether an alert can be told from the others in the log: a call's text isn't there, a template's not ours."""
        return not (self.notifier.call or self.fields["content_sid"])

    def _request(self, *notes: str, **scheduled: Any) -> Request[Any]:
        fields, arguments = self.fields, dict(scheduled)
        if self.notifier.call:
            spoken = twiml.say(self._speech(*notes), fields["voice"], fields["language"])
            return Calls.create(**{name: fields[name] for name in _OF_CALLS}, twiml=spoken)
        arguments = {**{name: fields[name] for name in _OF_MESSAGES}, **scheduled}
        if fields["content_sid"]:
            variables = fields[_VARIABLES] and {key: self._safe(str(one)) for key, one in fields[_VARIABLES].items()}
            return Messages.create(**{**arguments, _VARIABLES: variables})
        return Messages.create(**arguments, body=self._text(*notes))

    def _text(self, *notes: str) -> str:
        from airflow_provider_twilio.api import segments

        notifier, body = self.notifier, self.fields["body"]
        end = f" #{self.alert.tag}" if notifier.dedupe_window or notifier.max_per_hour else ""
        if body is None:
            alert = replace(self.alert, question=self._safe(self.alert.question))
            return alert.within(partial(_within, notifier.max_segments or 1), self._zone, *notes, end=end)
        end = "".join(f" {note}" for note in notes) + end
        return segments.shorten(self._safe(str(body)), lambda text: _within(notifier.max_segments, text + end)) + end

    def _speech(self, *notes: str) -> str:
        from xml.sax.saxutils import escape

        from airflow_provider_twilio.api import segments

        body = self.fields["body"]
        said = self._safe(self.alert.speech(self._zone) if body is None else str(body))
        return " ".join((segments.shorten(said, lambda text: len(escape(text)) <= LONGEST_SPEECH), *notes))

    def _safe(self, text: str) -> str:
        """Mask what the connection holds and what Airflow knows for a secret; leave out what no message can hold."""
        for secret in self.client.settings.secrets:
            text = text.replace(secret, "***")
        masked = _airflow.redact(text)
        return "".join(c for c in masked if c == "\n" or unicodedata.category(c) not in ("Cc", "Cs"))


# ---------------------------------------------------------------- the two ways to wait


class _Client(Protocol):
    @property
    def settings(self) -> Settings: ...
    async def send(self, request: Request[T], /) -> T: ...


class _Way(Protocol):
    """What differs between a callback that blocks and one that is awaited."""

    def client(self, hook: TwilioHook, hurry: Mapping[str, Any]) -> AbstractAsyncContextManager[_Client]: ...
    async def run(self, function: Callable[..., T], *arguments: Any) -> T: ...
    async def notify(self, notifier: BaseNotifier, context: Any) -> None: ...
    async def sleep(self, seconds: float) -> None: ...
    async def failed(self, context: Mapping[str, Any], dag_id: str, run_ids: list[str]) -> int | None: ...


def _hurried(settings: Settings, hurry: Mapping[str, Any]) -> dict[str, Any]:
    return {name: min(getattr(settings, name), most) for name, most in hurry.items()}


class _Blocking:
    """Do all here and now: nothing that it awaits waits."""

    @asynccontextmanager
    async def client(self, hook: TwilioHook, hurry: Mapping[str, Any]) -> AsyncIterator[_Client]:
        with hook.client.apart(**_hurried(hook.client.settings, hurry)) as client:
            yield _Immediate(client)

    async def run(self, function: Callable[..., T], *arguments: Any) -> T:
        return function(*arguments)

    async def notify(self, notifier: BaseNotifier, context: Any) -> None:
        notifier(context)

    async def sleep(self, seconds: float) -> None:
        time.sleep(seconds)  # noqa: ASYNC251

    async def failed(self, context: Mapping[str, Any], dag_id: str, run_ids: list[str]) -> int | None:
        # A deadline's callback on an executor can't ask: Airflow would wait for an answer that never comes.
        return None if "deadline" in context else _airflow.failed_tasks(dag_id, run_ids)


class _Immediate:
    """Make a blocking client look like an awaited one."""

    def __init__(self, client: Any) -> None:
        self._client = client

    @property
    def settings(self) -> Settings:
        settings: Settings = self._client.settings
        return settings

    async def send(self, request: Request[T], /) -> T:
        answer: T = self._client.send(request)
        return answer


def _finish(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never waits to its end."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    coroutine.close()
    raise RuntimeError("it waited")


class _Awaiting:
    """Leave the event loop to others meanwhile: what blocks runs in a thread."""

    @asynccontextmanager
    async def client(self, hook: TwilioHook, hurry: Mapping[str, Any]) -> AsyncIterator[_Client]:
        async with hook.aclient() as client:
            client.settings = replace(client.settings, **_hurried(client.settings, hurry))
            yield client

    async def run(self, function: Callable[..., T], *arguments: Any) -> T:
        from asgiref.sync import sync_to_async

        return await sync_to_async(function)(*arguments)

    async def notify(self, notifier: BaseNotifier, context: Any) -> None:
        if type(notifier).async_notify is BaseNotifier.async_notify:
            await self.run(notifier, context)
        else:
            notifier.context = context
            await notifier

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def failed(self, context: Mapping[str, Any], dag_id: str, run_ids: list[str]) -> int | None:
        return await self.run(_airflow.failed_tasks, dag_id, run_ids)


send_twilio_notification = TwilioNotifier
