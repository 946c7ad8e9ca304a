"""Calls: https://www.twilio.com/docs/voice/api/call-resource."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

from airflow_provider_twilio.api.request import VERSION
from airflow_provider_twilio.emulator import credentials, magic, recordings, twiml
from airflow_provider_twilio.emulator.magic import LONGEST_CALL, course_of
from airflow_provider_twilio.emulator.paging import paged
from airflow_provider_twilio.emulator.params import Address, Params, Window, e164, is_url, reaches
from airflow_provider_twilio.emulator.wire import Answer, Refused, date, price

if TYPE_CHECKING:
    from airflow_provider_twilio.emulator.numbers import Number
    from airflow_provider_twilio.emulator.world import Account, Call, World

FINAL = frozenset({"completed", "busy", "failed", "no-answer", "canceled"})
STATUSES = ("queued", "ringing", "in-progress", "completed", "busy", "failed", "no-answer", "canceled")
EVENTS = ("initiated", "ringing", "answered", "completed")
DEFAULT_TALK = 5.0
DEFAULT_TIMEOUT, LONGEST_TIMEOUT = 60, 600
LONGEST_TWIML = 4000
PRICE_A_MINUTE, INBOUND_PRICE_A_MINUTE = 0.0140, 0.0085
BILLED_AFTER = 1.0
DETECTION = 3.0
"""Who has answered is known so long after."""
_SUBRESOURCES = (
    "notifications", "recordings", "payments", "events", "siprec", "streams", "transcriptions",
    "user_defined_message_subscriptions", "user_defined_messages",
)  # fmt: skip
_CHANNEL = re.compile(r"(client|sip|sips|whatsapp):(.+)", re.DOTALL)
_DIGITS = re.compile(r"[0-9*#wW]{1,32}")
_METHODS = ("GET", "POST")


@dataclass(slots=True, eq=False)
class CallRecord:
    """Hold a call: who calls whom, and the statuses it goes through from ``start`` on."""

    sid: str
    seq: int
    created: float
    account_sid: str
    to: str
    caller: str
    start: float
    steps: magic.Steps
    speed: float
    direction: str
    number_sid: str
    key: float
    answered_by: str | None = None
    sip: int = 200
    course: twiml.Course | None = None
    base: float = 0.0
    """So many seconds after the start, the course began."""
    past: tuple[str, ...] = ()
    """What was heard in the courses before."""
    keys: tuple[twiml.Course | None, str] = (None, "")
    """What was pressed so far, and for which Gather, known by what follows it."""
    document: str | None = None
    """Where the course came from."""
    limit: float | None = None
    fallbacks: Sequence[Address] = ()
    """Where to ask for a document that can't be had or read."""
    amd: Address | None = None
    """Whom to tell who answered, and how, once that is known."""
    parent_sid: str | None = None
    recordings: list[recordings.Recording] = field(default_factory=list)
    children: list[CallRecord] = field(default_factory=list)
    status_callback: str | None = None
    status_method: str = "POST"
    events: tuple[str, ...] = ("completed",)
    told: int = 0
    """How many of the events lie behind, told or not wanted."""
    touched: float = 0.0
    group_sid: str | None = None

    def moment(self, after: float) -> float:
        """Give the time that lies so many of its seconds after the start."""
        return self.start + after / self.speed

    def at(self, step: int) -> float:
        return self.moment(self.steps[step][0])

    def position(self, now: float) -> int:
        elapsed = (now - self.start) * self.speed
        for index in range(len(self.steps) - 1, 0, -1):
            if self.steps[index][0] <= elapsed:
                return index
        return 0

    def status(self, now: float) -> str:
        return self.steps[self.position(now)][1]

    def is_final(self, now: float) -> bool:
        return self.status(now) in FINAL

    def reached(self, status: str, now: float) -> float | None:
        """Give when it reached a status, if it has."""
        for index, (_, name) in enumerate(self.steps):
            if name == status:
                return self.at(index) if self.at(index) <= now else None
        return None

    @property
    def transcript(self) -> tuple[str, ...]:
        """What was heard, and what will be if nothing gets in between."""
        return self.past + (self.course.transcript if self.course else ())

    def heard(self, now: float) -> tuple[str, ...]:
        """Give what was heard so far."""
        passed = (now - self.start) * self.speed - self.base
        return self.past + tuple(text for at, text in (self.course.heard if self.course else ()) if at <= passed)

    @property
    def answered(self) -> float:
        """How long after the start it is answered; the start itself if it isn't."""
        return next((after for after, status in self.steps if status == "in-progress"), 0.0)

    @property
    def detected(self) -> float:
        """When it is known who has answered, if anybody has."""
        return self.moment(self.answered + DETECTION)

    def progress(self) -> list[tuple[int, str]]:
        """Give its events in order, each with the step at which it happens."""
        events = [(0, "initiated")]
        for index, (_, status) in enumerate(self.steps):
            if status == "ringing":
                events.append((index, "ringing"))
            elif status == "in-progress":
                events.append((index, "answered"))
            elif status in FINAL:
                events.append((index, "completed"))
        return events

    def absolute(self, url: str) -> str:
        """Read an address in a document as seen from where the document came."""
        try:
            return urljoin(self.document or "", url)
        except ValueError:
            return url

    def ended(self, now: float) -> float | None:
        return self.at(len(self.steps) - 1) if self.is_final(now) else None

    def seconds(self) -> int:
        """Give how long it was or will be talked, in the time of the call."""
        talk = [after for after, status in self.steps if status == "in-progress"]
        return round(self.steps[-1][0] - talk[0]) if talk and self.steps[-1][1] in FINAL else 0

    @property
    def segments(self) -> int:
        """The minutes it is charged for."""
        return math.ceil(self.seconds() / 60)

    @property
    def price(self) -> float:
        return self.segments * (INBOUND_PRICE_A_MINUTE if self.direction == "inbound" else PRICE_A_MINUTE)

    def charged(self, now: float) -> float:
        end = self.ended(now)
        return 0.0 if end is None or (now - end) * self.speed < BILLED_AFTER else self.price

    def settled(self, now: float) -> bool:
        """Tell whether what has been charged stays as it is."""
        end = self.ended(now)
        return end is not None and (now - end) * self.speed >= BILLED_AFTER

    @property
    def day(self) -> int:
        return int(self.created // 86_400)

    @property
    def category(self) -> str:
        return "calls-inbound" if self.direction == "inbound" else "calls-outbound"


def render(call: CallRecord, now: float, unbilled: float = 0.0) -> dict[str, Any]:
    """Write a call as Twilio does.

    :param unbilled: how long its price is not told yet.
    """
    position = call.position(now)
    status = call.steps[position][1]
    end = call.at(position) if status in FINAL else None
    answered = call.reached("in-progress", now)
    charged = call.charged(now - unbilled)
    uri = f"/{VERSION}/Accounts/{call.account_sid}/Calls/{call.sid}"
    return {
        "sid": call.sid,
        "date_created": date(call.created),
        "date_updated": date(max(call.at(position), call.created, call.touched)),
        "parent_call_sid": call.parent_sid,
        "account_sid": call.account_sid,
        "to": call.to,
        "to_formatted": formatted(call.to),
        "from": call.caller,
        "from_formatted": formatted(call.caller),
        "phone_number_sid": call.number_sid or None,
        "status": status,
        "start_time": date(answered if answered is not None else end),
        "end_time": date(end),
        "duration": None if end is None else str(call.seconds()),
        "price": price(charged),
        "price_unit": "USD",
        "direction": call.direction,
        "answered_by": call.answered_by if answered is not None else None,
        "api_version": VERSION,
        "forwarded_from": None,
        "group_sid": call.group_sid,
        "caller_name": None,
        "queue_time": str(max(round((call.start - call.created) * call.speed * 1000), 0)),
        "trunk_sid": None,
        "uri": f"{uri}.json",
        "subresource_uris": {name: f"{uri}/{_file(name)}.json" for name in _SUBRESOURCES},
    }


def _file(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


def formatted(address: str) -> str:
    """Write a number as people do; other addresses stay as they are."""
    if address.startswith("+1") and len(address) == 12:
        return f"({address[2:5]}) {address[5:8]}-{address[8:]}"
    return address


# ---------------------------------------------------------------- create


def create(call: Call) -> Answer:
    """POST Calls."""
    form = call.form
    to, caller, number_sid = _ends(call, form)
    course = _instructions(call, form)
    timeout = form.integer("Timeout", 0, LONGEST_TIMEOUT)
    limit = form.integer("TimeLimit", 1, 86_400)
    digits = form.text("SendDigits")
    if digits is not None and not _DIGITS.fullmatch(digits):
        raise Refused(21207, "Invalid SendDigits")
    detection = form.choice("MachineDetection", ("Enable", "DetectMessageEnd"))
    callback, method, events = _callback(form)
    _others(form)
    amd = form.text("AsyncAmdStatusCallback") if detection and form.flag("AsyncAmd") else None
    wishes = recordings.read(form, 1)
    if not call.test:
        _refuse(call, to)
    ring = magic.RINGS.get(to, magic.Ring())
    talk = course.seconds if ring.talks is None else ring.talks
    record = CallRecord(
        sid=call.world.sid("CA"),
        seq=0 if call.test else call.world.next(),
        created=call.now,
        account_sid=call.account.sid,
        to=to,
        caller=caller,
        start=call.now,
        steps=course_of(ring, talk, timeout or DEFAULT_TIMEOUT, limit),
        speed=call.world.clock.speed,
        direction="outbound-api",
        number_sid=number_sid,
        key=call.now,
        answered_by=_answered_by(ring, detection),
        sip=ring.sip,
        limit=limit,
        fallbacks=_fallbacks(form),
        status_callback=callback,
        status_method=method,
        events=events,
    )
    if not call.test:
        call.account.calls.add(record)
        if record.answered:
            steps = record.steps
            perform(call.world, call.account, record, course, record.answered)
            if ring.talks is not None:
                record.steps = steps
            if form.flag("Record"):
                begins = record.moment(record.answered)
                recordings.of_call(call.world, call.account, record, "OutboundAPI", wishes, begins)
        if amd is not None:
            record.amd = (amd, form.text("AsyncAmdStatusCallbackMethod") or "POST")
        call.world.on_change(record)
    return Answer(render(record, call.now, call.unbilled), 201, sid=record.sid)


def _ends(call: Call, form: Params) -> tuple[str, str, str]:
    """Find out who calls whom; give the caller's number's SID too."""
    given_to, given_caller = form.text("To"), form.text("From")
    if given_to is None:
        raise Refused(21201, "No 'To' number is specified")
    if given_caller is None:
        raise Refused(21213, "No 'From' number is specified")
    to = given_to[:200] if _CHANNEL.fullmatch(given_to) else e164(given_to)
    if to is None:
        raise Refused(21217, f"Phone number {given_to} does not appear to be valid.")
    if call.test:
        credentials.caller(e164(given_caller) or given_caller)
        credentials.called(to)
        return to, credentials.VALID, ""
    if _CHANNEL.fullmatch(given_caller):
        return to, given_caller[:200], ""
    caller = e164(given_caller)
    if caller is None:
        raise Refused(21212, f"The 'From' number {given_caller} is not a valid phone number.")
    number = call.account.number(caller)
    if (number is None or not number.capabilities["voice"]) and caller not in call.account.verified:
        raise Refused(
            21210,
            f"The source phone number provided, {given_caller}, is not yet verified for your account. You may only make"
            " calls from phone numbers that you've verified or purchased from Twilio.",
        )
    return to, caller, number.sid if number else ""


def _instructions(call: Call, form: Params) -> twiml.Course:
    """Read what the call is to do; of Url and Twiml, Url counts."""
    url, document, application = form.text("Url"), form.text("Twiml"), form.text("ApplicationSid")
    if application is not None:
        form.sid("ApplicationSid", "AP", 21218)
    elif url is None and document is None:
        raise Refused(21205, "Url parameter is required.")
    if document is not None and len(document) > LONGEST_TWIML:
        raise Refused(20001, "Twiml can have at most 4000 characters")
    if url is not None and not is_url(url):
        raise Refused(21205, f"Url is not a valid URL: {url[:100]}")
    return _course(call, url, document)


def _course(call: Call, url: str | None, document: str | None) -> twiml.Course:
    """Give the course that a document takes: the one at hand, or one that is fetched once the call is answered."""
    if url is not None and reaches(call.world.quirks.callbacks, url):
        return twiml.Course(0.0, then=twiml.Next(0.0, url, call.form.text("Method") or "POST"))
    if url is not None or document is None:
        return twiml.Course(DEFAULT_TALK)
    return twiml.read(document) or twiml.BROKEN


def _callback(form: Params) -> tuple[str | None, str, tuple[str, ...]]:
    url = form.url("StatusCallback", 21609)
    method = form.choice("StatusCallbackMethod", _METHODS, 21206) or "POST"
    events = [event for given in form.all("StatusCallbackEvent") for event in given.split()]
    if any(event not in EVENTS for event in events):
        raise Refused(21626, f"StatusCallbackEvent must be among {', '.join(EVENTS)}")
    return url, method, tuple(events) or ("completed",)


def _fallbacks(form: Params) -> tuple[Address, ...]:
    url = form.url("FallbackUrl", 21208)
    method = form.choice("FallbackMethod", _METHODS, 21206) or "POST"
    return () if url is None else ((url, method),)


def _others(form: Params) -> None:
    """Check what has no effect here beyond being right or wrong."""
    form.choice("Method", _METHODS, 21206)
    form.flag("Record")
    form.url("ClientNotificationUrl")
    form.integer("MachineDetectionTimeout", 3, 59)
    form.integer("MachineDetectionSpeechThreshold", 1000, 6000)
    form.integer("MachineDetectionSpeechEndThreshold", 500, 5000)
    form.integer("MachineDetectionSilenceTimeout", 2000, 10_000)
    form.flag("AsyncAmd")
    form.url("AsyncAmdStatusCallback")
    form.choice("AsyncAmdStatusCallbackMethod", _METHODS, 21206)
    form.sid("Byoc", "BY")
    if len(form.text("CallReason") or "") > 50:
        raise Refused(20001, "CallReason can have at most 50 characters")
    if len(form.text("SipAuthPassword") or "") > 255:
        raise Refused(20001, "SipAuthPassword can have at most 255 characters")


def _answered_by(ring: magic.Ring, detection: str | None) -> str | None:
    if detection is None:
        return None
    if ring.answered_by == "machine_start" and detection == "DetectMessageEnd":
        return "machine_end_beep"
    return ring.answered_by


def _refuse(call: Call, to: str) -> None:
    if to in magic.CALL_REFUSALS:
        code, text, status = magic.CALL_REFUSALS[to]
        raise Refused(code, text.format(to=to), status)
    if to.startswith(("+850", "+53", "+98")):
        raise Refused(21215, f"Account not authorized to call {to}. Check its geographic permissions.")
    if call.world.quirks.trial and ":" not in to and to not in call.account.verified:
        raise Refused(21219, f"The number {to} is unverified. Trial accounts may only make calls to verified numbers.")


# ---------------------------------------------------------------- the rest


def fetch(call: Call) -> Answer:
    """GET Calls/{Sid}."""
    record = call.find(call.account.calls, call.args[0])
    return Answer(render(record, max(call.seen, record.created), call.unbilled))


def listing(call: Call) -> Answer:
    """GET Calls."""
    query, now = call.query, call.now
    keep: list[Any] = []
    having: dict[str, str] = {}
    for name, end_ in (("To", "to"), ("From", "caller")):
        if (given := query.text(name)) is not None:
            wanted = having[end_] = e164(given) or given
            keep.append(lambda record, end_=end_, wanted=wanted: getattr(record, end_) == wanted)
    if (status := query.choice("Status", STATUSES)) is not None:
        keep.append(lambda record: record.status(now) == status)
    if (parent := query.sid("ParentCallSid", "CA")) is not None:
        keep.append(lambda record: record.parent_sid == parent)
    if (started := Window.read(query, "StartTime")) is not None:
        keep.append(lambda record: started.holds(record.reached("in-progress", now) or record.ended(now)))
    if (ended := Window.read(query, "EndTime")) is not None:
        keep.append(lambda record: ended.holds(record.ended(now)))
    return paged(
        call,
        "calls",
        call.account.calls,
        keep,
        lambda record: render(record, max(call.seen, record.created), call.unbilled),
        having=having,
    )


def update(call: Call) -> Answer:
    """POST Calls/{Sid}: hang up, cancel, redirect, or set a limit."""
    record: CallRecord = call.find(call.account.calls, call.args[0])
    form = call.form
    status = form.choice("Status", ("canceled", "completed"), 21218)
    url, document = form.text("Url"), form.text("Twiml")
    limit = form.integer("TimeLimit", 1, 86_400)
    form.choice("Method", _METHODS, 21206)
    fallbacks = _fallbacks(form)
    callback = form.url("StatusCallback", 21609)
    callback_method = form.choice("StatusCallbackMethod", _METHODS, 21206)
    if url is not None and document is not None:
        raise Refused(20001, "Url and Twiml can't be given together")
    if url is not None and not is_url(url):
        raise Refused(21205, f"Url is not a valid URL: {url[:100]}")
    if document is not None and len(document) > LONGEST_TWIML:
        raise Refused(20001, "Twiml can have at most 4000 characters")
    if not any((status, url, document, limit, callback)):
        raise Refused(20001, "Url, Twiml, Status or TimeLimit is required")
    now = call.now
    current = record.status(now)
    if current in FINAL:
        raise Refused(21220, "Call is not in-progress. Cannot redirect.")
    if (url or document) and current != "in-progress":
        raise Refused(21220, "Call is not in-progress. Cannot redirect.")
    record.fallbacks = fallbacks or record.fallbacks
    if callback is not None:
        record.status_callback, record.status_method = callback, callback_method or "POST"
        behind = sum(record.at(index) < now for index, _ in record.progress())
        record.told = max(record.told, behind)  # what has been is not told to it any more
    if status == "completed" or (status == "canceled" and current != "in-progress"):
        end(call.account, record, now, "completed" if current == "in-progress" else "canceled")
    elif url is not None or document is not None:
        record.document = None
        course, base = _course(call, url, document), (now - record.start) * record.speed
        replace_course(call.world, call.account, record, course, base)
    if limit is not None and record.status(now) not in FINAL:
        record.limit = limit
        _limit(call.account, record, now)
    record.touched = now
    call.world.on_change(record)
    return Answer(render(record, now))


def end(account: Account, record: CallRecord, at: float, status: str) -> None:
    """End a call at a time, and what goes on in it or was to come."""
    passed = (at - record.start) * record.speed
    record.steps = (*(step for step in record.steps if step[0] <= passed), (passed, status))
    recordings.call_ended(account, record, at)
    _forget_children(account, record, at)


def perform(world: World, account: Account, record: CallRecord, course: twiml.Course, base: float) -> None:
    """Let a call take a course, whose beginning lies so many seconds after the call's start.

    What an earlier course had in store is forgotten: recordings and calls that have not begun, what was not said yet.
    """
    now = world.clock.now()
    for recording in [each for each in record.recordings if each.source == "RecordVerb" and each.created > now]:
        recordings.drop(account, recording, now)
    _forget_children(account, record, now)
    record.course, record.base = course, base
    seconds = course.seconds
    if course.then is not None and reaches(world.quirks.callbacks, record.absolute(course.then.url)):
        seconds += LONGEST_CALL  # what it answers will end the call
    before = (step for step in record.steps if step[0] <= base and step[1] not in FINAL)
    record.steps = (*before, (base + seconds, "completed"))
    for part in course.records:
        wishes = recordings.Wishes(part.callback, part.method, part.events)
        begins, ends = (record.moment(base + part.at + after) for after in (0.0, part.length))
        recordings.of_call(world, account, record, "RecordVerb", wishes, begins, ends)
    for dialed in course.dials:
        caller = dialed.caller or (record.caller if record.direction != "inbound" else record.to)
        begins = record.moment(base + dialed.at)
        child = CallRecord(
            world.sid("CA"), world.next(), begins, account.sid, dialed.to, caller, begins, dialed.steps, record.speed,
            "outbound-dial", record.number_sid, begins, parent_sid=record.sid,
        )  # fmt: skip
        record.children.append(child)
        account.calls.add(child)
    _limit(account, record, now)


def _forget_children(account: Account, record: CallRecord, at: float) -> None:
    """Forget the calls that were to be made, and end those that go on."""
    for child in list(record.children):
        if child.created > at:
            record.children.remove(child)
            account.drop(account.calls, child, at)
        elif not child.is_final(at):
            end(account, child, at, "completed" if child.status(at) == "in-progress" else "canceled")


def replace_course(world: World, account: Account, record: CallRecord, course: twiml.Course, base: float) -> None:
    """Let a call in progress take a course from another document, so many seconds after its start."""
    record.past = record.heard(record.start + base / record.speed)
    perform(world, account, record, course, base)


def press(world: World, account: Account, record: CallRecord, keys: str) -> bool:
    """Press keys on the phone at the other end; give False if the call listens to none now.

    What is pressed beyond what a Gather takes is lost, as it is at Twilio.
    """
    now = world.clock.now()
    at = (now - record.start) * record.speed - record.base
    course = record.course
    listen = None
    if course is not None and record.status(now) == "in-progress":
        listen = next((each for each in course.listens if each.start <= at < each.end), None)
    if course is None or listen is None:
        return False
    if record.keys[0] is not listen.rest:
        record.keys = (listen.rest, "")
    taken, done = record.keys[1], False
    for key in keys:
        if key == listen.finish:
            done = True
            break
        taken += key
        if len(taken) == listen.most:
            done = True
            break
    record.keys = (listen.rest, taken)
    perform(world, account, record, twiml.pressed(course, listen, at, taken, done, record.document), record.base)
    world.on_change(record)
    return True


def _limit(account: Account, record: CallRecord, now: float) -> None:
    """End a call when its limit is reached."""
    if record.limit is None or not record.answered:
        return
    at = max(record.moment(record.answered + record.limit), now)
    if at < record.moment(record.steps[-1][0]):
        end(account, record, at, "completed")


def delete(call: Call) -> Answer:
    """DELETE Calls/{Sid}: once it has ended."""
    record = call.find(call.account.calls, call.args[0])
    if not record.is_final(call.now):
        raise Refused(20009, "Cannot delete this resource before it is complete", 409)
    call.account.drop(call.account.calls, record, call.now)
    return Answer(status=204)


def receive(world: World, account: Account, number: Number, caller: str) -> CallRecord:
    """Take in a call from a phone; it rings until :func:`answer` says what to do with it."""
    now = world.clock.now()
    record = CallRecord(
        world.sid("CA"), world.next(), now, account.sid, number.phone_number, caller, now,
        ((0.0, "ringing"), (float(DEFAULT_TIMEOUT), "no-answer")), world.clock.speed, "inbound", number.sid, now,
        fallbacks=number.addresses("voice")[1:], status_callback=number.settings.get("status_callback") or None,
        status_method=number.settings.get("status_callback_method", "POST"),
    )  # fmt: skip
    account.calls.add(record)
    return record


def answer(world: World, account: Account, record: CallRecord, course: twiml.Course) -> None:
    """Let a call that came in take its course."""
    now = world.clock.now()
    if record.is_final(now):
        return
    passed = (now - record.start) * record.speed
    if course.rejects:
        record.steps = ((0.0, "ringing"), (passed, course.rejects))
        return
    record.steps = ((0.0, "ringing"), (passed, "in-progress"), (passed + course.seconds, "completed"))
    perform(world, account, record, course, passed)


ROUTES = {
    ("POST", "Calls"): create,
    ("GET", "Calls"): listing,
    ("GET", "Calls/{}"): fetch,
    ("POST", "Calls/{}"): update,
    ("DELETE", "Calls/{}"): delete,
}
