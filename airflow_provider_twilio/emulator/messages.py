"""Messages, their media and feedback: https://www.twilio.com/docs/messaging/api/message-resource."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_twilio.api.request import VERSION
from airflow_provider_twilio.emulator import credentials, magic, segments
from airflow_provider_twilio.emulator.paging import paged
from airflow_provider_twilio.emulator.params import Params, Window, e164, is_url, timestamp
from airflow_provider_twilio.emulator.shelf import NEVER, Shelf
from airflow_provider_twilio.emulator.wire import Answer, Refused, date, not_found, price

if TYPE_CHECKING:
    from airflow_provider_twilio.emulator.services import Service
    from airflow_provider_twilio.emulator.world import Account, Call, World

FINAL = frozenset({"delivered", "undelivered", "failed", "canceled", "read", "received", "partially_delivered"})
SENT = frozenset({"sent", "delivered", "undelivered", "read", "received"})
UNBILLED = frozenset({"accepted", "scheduled", "queued", "sending", "failed", "canceled", "receiving"})
STATUSES = (
    "accepted", "scheduled", "queued", "sending", "sent", "delivered", "undelivered", "failed", "canceled", "read",
    "receiving", "received", "partially_delivered",
)  # fmt: skip
SENT_IS_FINAL_AFTER = 3600.0
"""A message that stays ``sent`` may be deleted after so many seconds: no report is to come."""
BILLED_AFTER = 1.0
SMS_PRICE, MMS_PRICE, CHANNEL_PRICE = 0.0083, 0.0220, 0.0050
TRIAL_PREFIX = "Sent from your Twilio trial account - "
LONGEST_BODY, MOST_MEDIA = 1600, 10
SOONEST, LATEST = 300.0, 35 * 86_400.0
DEFAULT_VALIDITY = 36_000.0
WINDOW = 86_400.0
SANDBOX = "+14155238886"
FORBIDDEN_REGIONS = ("+850", "+53", "+98")

_CHANNEL = re.compile(r"(whatsapp|messenger|rcs|channel):(.+)", re.DOTALL)
_SHORT_CODE = re.compile(r"[0-9]{3,8}")
_ALPHANUMERIC = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9 +_&.-]{1,11}")
_ERRORS = {
    21610: "Attempt to send to unsubscribed recipient",
    63016: "Failed to send freeform message because you are outside the allowed window",
    30001: "Queue overflow",
    30003: "Unreachable destination handset",
    30004: "Message blocked",
    30005: "Unknown destination handset",
    30006: "Landline or unreachable carrier",
    30007: "Carrier violation",
    30008: "Unknown error",
    30022: "US A2P 10DLC - Rate Limits Exceeded",
    30034: "US A2P 10DLC - Message from an Unregistered Number",
    30036: "Validity Period Expired",
    30410: "Provider Timeout Error",
    30500: "Message Delivery - Internal Error",
}


@dataclass(slots=True, eq=False)
class Media:
    """Hold a media item of a message, found at ``url`` when the message was made."""

    sid: str
    seq: int
    created: float
    parent_sid: str
    url: str
    content_type: str
    key: float = 0.0


@dataclass(slots=True, eq=False)
class Message:
    """Hold a message: what it is, and the statuses it goes through from ``start`` on."""

    sid: str
    seq: int
    created: float
    account_sid: str
    to: str
    sender: str | None
    body: str | None
    start: float
    steps: magic.Steps
    error: int | None
    speed: float
    service_sid: str | None
    direction: str
    segments: int
    price: float
    key: float
    media: list[Media] | None = None
    touched: float = 0.0
    status_callback: str | None = None
    told: int = 0
    """How many of its steps lie behind, told or not."""
    provide_feedback: bool = False
    feedback: str | None = None
    discards: bool = False
    """Whether the body is forgotten once it is sent."""
    obfuscates: bool = False
    """Whether the recipient's last digits are."""

    def at(self, step: int) -> float:
        """Give when it reaches a step."""
        return self.start + self.steps[step][0] / self.speed

    def position(self, now: float) -> int:
        """Give the step it has reached."""
        steps, elapsed = self.steps, (now - self.start) * self.speed
        for index in range(len(steps) - 1, 0, -1):
            if steps[index][0] <= elapsed:
                return index
        return 0

    def status(self, now: float) -> str:
        return self.steps[self.position(now)][1]

    def turn(self, status: str, now: float) -> None:
        """Let it take another status now, and stay there; what it went through is kept."""
        self.steps = self.steps[: self.position(now) + 1]
        if self.steps[-1][1] != status:
            self.steps = (*self.steps, ((now - self.start) * self.speed, status))
        self.touched = now

    def sent_at(self) -> float:
        """Give when it is, was or would be sent; :data:`NEVER` if it won't be."""
        for seconds, status in self.steps:
            if status in SENT:
                return self.start + seconds / self.speed
        return NEVER

    def is_final(self, now: float) -> bool:
        status = self.status(now)
        return status in FINAL or (
            status == "sent" and (now - self.sent_at()) * self.speed >= SENT_IS_FINAL_AFTER and self._ends(now)
        )

    def _ends(self, now: float) -> bool:
        return self.position(now) == len(self.steps) - 1

    def error_code(self, now: float) -> int | None:
        return self.error if self.status(now) in ("failed", "undelivered") else None

    def charged(self, now: float) -> float:
        """Give what has been charged: nothing until a while after it was sent, and nothing if it failed before."""
        return self.charged_since(self.sent_at(), now)

    def charged_since(self, sent_at: float, now: float) -> float:
        """Give what has been charged, where it is known when the message is sent."""
        if (now - sent_at) * self.speed < BILLED_AFTER:
            return 0.0
        due = self.position(sent_at + BILLED_AFTER / self.speed)
        since = self.steps[due : self.position(now) + 1]
        return 0.0 if all(status in UNBILLED for _, status in since) else self.price

    def settled(self, now: float) -> bool:
        """Tell whether what has been charged stays as it is."""
        return self.charged(now) > 0 or self.status(now) in ("failed", "canceled")

    @property
    def day(self) -> int:
        return int(self.created // 86_400)

    @property
    def category(self) -> str:
        """The usage category it counts in."""
        way = "inbound" if self.direction == "inbound" else "outbound"
        if self.to.startswith(("whatsapp:", "rcs:", "messenger:")):
            return f"channels-messaging-{way}"
        return f"mms-{way}" if self.sid.startswith("MM") else f"sms-{way}"


def render(message: Message, now: float, unbilled: float = 0.0) -> dict[str, Any]:
    """Write a message as Twilio does.

    :param unbilled: how long its price is not told yet.
    """
    position = message.position(now)
    status = message.steps[position][1]
    waiting = message.service_sid is not None and status in ("accepted", "scheduled")
    # A canceled message never got a sender.
    senderless = waiting or (status == "canceled" and message.service_sid is not None)
    sent_at = message.sent_at()
    uri = f"/{VERSION}/Accounts/{message.account_sid}/Messages/{message.sid}"
    subresources = {"media": f"{uri}/Media.json"}
    if message.provide_feedback:
        subresources["feedback"] = f"{uri}/Feedback.json"
    error = message.error if status in ("failed", "undelivered") else None
    charged = message.charged_since(sent_at, now - unbilled)
    over = sent_at <= now or status in FINAL
    return {
        "body": "" if message.discards and over else message.body,
        "num_segments": "0" if waiting else str(message.segments),
        "direction": message.direction,
        "from": None if senderless else message.sender,
        "date_updated": date(max(message.at(position), message.created, message.touched)),
        "price": price(charged),
        "error_message": None if error is None else _ERRORS.get(error, f"Error {error}"),
        "uri": f"{uri}.json",
        "account_sid": message.account_sid,
        "num_media": str(len(message.media)) if message.media else "0",
        "to": f"{message.to[:-4]}XXXX" if message.obfuscates and over else message.to,
        "date_created": date(message.created),
        "status": status,
        "sid": message.sid,
        "date_sent": date(sent_at) if sent_at <= now else None,
        "messaging_service_sid": message.service_sid,
        "error_code": error,
        "price_unit": "USD" if charged else None,
        "api_version": VERSION,
        "subresource_uris": subresources,
    }


# ---------------------------------------------------------------- create


def create(call: Call) -> Answer:
    """POST Messages."""
    form = call.form
    body, media = _content(form)
    to, sender, service = _ends(call, form)
    options = _options(form)
    options.send_at = _schedule(call, form, service)
    plan = magic.USUAL if call.test else _plan(call.world, call.account, to, sender, service)
    message = _write(call.world, call.account, to, sender, service, body, media, plan, options)
    if not call.test:
        _keep(call.world, call.account, message, media)
    return Answer(render(message, call.now, call.unbilled), 201, sid=message.sid)


def _write(
    world: World, account: Account, to: str, sender: str | None, service: Service | None, body: str | None,
    media: list[str], plan: magic.Delivery, options: _Options,
) -> Message:  # fmt: skip
    """Make a message that goes out."""
    now = world.clock.now()
    steps, error = plan.steps, plan.error
    smart, validity = options.smart, options.validity or DEFAULT_VALIDITY
    if service is not None:
        if sender is None:
            steps = ((0.0, "accepted"), *((after + 0.3, status) for after, status in steps))
            sender = service.sender_for(account, to)
        if _opted_out(account, to, sender, service):
            steps, error = ((0.0, "accepted"), (0.5, "failed")), 21610
        if options.send_at is not None:
            ahead = (options.send_at - now) * world.clock.speed
            steps = ((0.0, "scheduled"), *((after + ahead, status) for after, status in steps))
        smart = service.settings["smart_encoding"] if smart is None else smart
        validity = options.validity or service.settings["validity_period"]
    if _outside_window(world, account, to, sender, options):
        steps, error = (*(step for step in steps if step[1] in ("scheduled", "accepted", "queued")),), 63016
        steps = (*steps, (steps[-1][0] + 0.5, "failed"))
    if steps[-1][1] in ("queued", "accepted", "sending"):
        steps, error = (*steps, (steps[-1][0] + validity, "failed")), 30036
    if world.quirks.trial and body is not None:
        body = TRIAL_PREFIX + body
    many = 1 if media else segments.count(segments.smart(body or "") if smart else body or "")
    message = Message(
        sid=world.sid("MM" if media else "SM"),
        seq=0,
        created=now,
        account_sid=account.sid,
        to=to,
        sender=sender,
        body=body,
        start=now,
        steps=steps,
        error=error,
        speed=world.clock.speed,
        service_sid=None if service is None else service.sid,
        direction=options.direction,
        segments=many,
        price=_price(to, media, many),
        key=0.0,
        status_callback=options.callback or (service.settings["status_callback"] if service else None),
        provide_feedback=options.feedback,
        discards=options.discard,
        obfuscates=options.obfuscate,
    )
    message.key = message.sent_at()
    return message


def _keep(world: World, account: Account, message: Message, media: list[str]) -> None:
    """Give a message and its media their numbers, and list it from now on."""
    message.seq = world.next()
    message.media = [
        Media(world.sid("ME"), world.next(), message.created, message.sid, url, _content_type(url), message.created)
        for url in media
    ] or None
    account.messages.add(message)
    if message.status_callback:
        world.on_change(message)


def _price(address: str, media: list[str], many: int) -> float:
    return CHANNEL_PRICE if ":" in address else MMS_PRICE if media else SMS_PRICE * many


def _content(form: Params) -> tuple[str | None, list[str]]:
    body, media, content = form.text("Body"), form.all("MediaUrl"), form.text("ContentSid")
    if body is None and not media and content is None:
        if not form.text("To"):
            raise Refused(21604, "A 'To' phone number is required.")
        raise Refused(21602, "Message body is required.")
    if body is not None and len(body) > LONGEST_BODY:
        raise Refused(21617, "The concatenated message body exceeds the 1600 character limit.")
    if len(media) > MOST_MEDIA:
        raise Refused(21623, "Number of media files exceeds allowed limit of 10")
    if not all(is_url(url) for url in media):
        raise Refused(21620, "Invalid media URL(s)")
    form.sid("ContentSid", "HX", 21655)
    variables = form.text("ContentVariables")
    if variables is not None:
        try:
            valid = isinstance(json.loads(variables), dict)
        except (ValueError, RecursionError):
            valid = False
        if not valid:
            raise Refused(21656, "The ContentVariables Parameter is invalid.")
    if content is not None:
        body = None
    return body, media


def _ends(call: Call, form: Params) -> tuple[str, str | None, Service | None]:
    """Find out who sends to whom."""
    given = form.text("To")
    if given is None:
        raise Refused(21604, "A 'To' phone number is required.")
    to = _address(given)
    if to is None:
        raise Refused(21211, f"The 'To' number {given} is not a valid phone number.")
    given_sender, service_sid = form.text("From"), form.text("MessagingServiceSid")
    service = None
    if service_sid is not None:
        service = None if call.test else call.account.services.get(service_sid)
        if service is None:
            raise Refused(21701, "The Messaging Service does not exist.", 404)
    if given_sender is None and service is None:
        raise Refused(21603, "A 'From' phone number is required.")
    if call.test:
        sender = credentials.sender(given_sender)
        credentials.recipient(to)
        return to, sender, None
    if given_sender is None:
        if service is not None:
            service.check(call.account)
        return to, None, service
    return to, _sender(call.account, given_sender, to), service


def _address(value: str) -> str | None:
    """Read a number or a channel address."""
    channel = _CHANNEL.fullmatch(value)
    if channel is None:
        return e164(value)
    if channel[1] in ("whatsapp", "rcs"):
        number = e164(channel[2])
        return None if number is None else f"{channel[1]}:{number}"
    return value if len(value) <= 200 else None


def _sender(account: Account, given: str, to: str) -> str:
    """Check that the account may send from here to there."""
    channel = _CHANNEL.fullmatch(given)
    if (channel[1] if channel else None) != (to.partition(":")[0] if ":" in to else None):
        raise Refused(21910, "Invalid From and To pair. From and To should be of the same channel")
    if channel is not None:
        if channel[1] == "whatsapp":
            number = e164(channel[2])
            if number is None or (number != SANDBOX and account.number(number) is None):
                raise Refused(63007, "Twilio could not find a Channel with the specified From address")
            return f"whatsapp:{number}"
        return given[:200]
    number = e164(given)
    if (number is not None and given.lstrip().startswith(("+", "(", "1"))) or (number and len(given) >= 10):
        if number == to:
            raise Refused(21266, "'To' and 'From' number cannot be the same")
        owned = account.number(number)
        if owned is None or not owned.capabilities["sms"]:
            raise _not_ours(given)
        return number
    if _SHORT_CODE.fullmatch(given):
        if account.number(given) is None:
            raise _not_ours(given)
        return given
    if _ALPHANUMERIC.fullmatch(given):
        if to.startswith("+1"):
            raise Refused(21612, f"The 'To' phone number {to} is not currently reachable using the 'From' {given}.")
        return given
    raise Refused(
        21212, f"The 'From' number {given} is not a valid phone number, shortcode, or alphanumeric sender ID."
    )


def _not_ours(number: str) -> Refused:
    return Refused(
        21606,
        f"The From phone number {number} is not a valid, SMS-capable inbound phone number or short code for your"
        " account.",
    )


@dataclass(slots=True)
class _Options:
    direction: str = "outbound-api"
    callback: str | None = None
    feedback: bool = False
    validity: float | None = None
    smart: bool | None = None
    discard: bool = False
    obfuscate: bool = False
    template: bool = False
    send_at: float | None = None


def _options(form: Params) -> _Options:
    """Read the parameters that every message may have."""
    form.sid("ApplicationSid", "AP")
    form.number("MaxPrice", 0, 1e9)
    form.integer("Attempt", 0, 10_000)
    for name in ("ForceDelivery", "ShortenUrls", "SendAsMms"):
        form.flag(name)
    form.choice("TrafficType", ("free",))
    form.choice("RiskCheck", ("enable", "disable"))
    return _Options(
        callback=form.url("StatusCallback", 21609),
        feedback=bool(form.flag("ProvideFeedback")),
        validity=form.integer("ValidityPeriod", 1, 36_000, 21624),
        smart=form.flag("SmartEncoded"),
        discard=form.choice("ContentRetention", ("retain", "discard")) == "discard",
        obfuscate=form.choice("AddressRetention", ("retain", "obfuscate")) == "obfuscate",
        template=form.text("ContentSid") is not None,
    )


def _schedule(call: Call, form: Params, service: Service | None) -> float | None:
    kind, at = form.text("ScheduleType"), form.text("SendAt")
    if kind is None and at is None:
        return None
    if kind != "fixed":
        raise Refused(35113, "ScheduleType is missing or invalid: it must be 'fixed' with SendAt.")
    if at is None:
        raise Refused(35111, "The 'SendAt' timestamp is missing.")
    if service is None:
        raise Refused(35118, "MessagingServiceSid is required to schedule a message.")
    when = timestamp(at)
    if when is None:
        raise Refused(35117, "The 'SendAt' timestamp is invalid. It must be in ISO 8601 format.")
    # The two clocks may be a moment apart.
    if when - call.now < SOONEST - 2:
        raise Refused(35114, "The 'SendAt' time must be at least 300 seconds in the future.")
    if when - call.now > LATEST + 2:
        raise Refused(35115, "The 'SendAt' time must be at most 35 days in the future.")
    return when


def _plan(
    world: World, account: Account, to: str, sender: str | None, service: Service | None = None
) -> magic.Delivery:
    """Say what becomes of a message, or refuse it."""
    number = to.rpartition(":")[2]
    if number in magic.REFUSALS:
        code, text, status = magic.REFUSALS[number]
        raise Refused(code, text.format(to=to), status)
    if to.startswith(FORBIDDEN_REGIONS):
        raise Refused(21408, f"Permission to send an SMS has not been enabled for the region indicated by {to}.")
    if world.quirks.trial and number not in account.verified:
        raise Refused(
            21608,
            f"The number {to} is unverified. Trial accounts cannot send messages to unverified numbers; verify it, or"
            " purchase a Twilio number to send messages to unverified numbers.",
        )
    if service is None and _opted_out(account, to, sender):
        raise _unsubscribed()
    return magic.DELIVERIES.get(number, magic.READ if to.startswith("rcs:") else magic.USUAL)


def _opted_out(account: Account, to: str, sender: str | None, service: Service | None = None) -> bool:
    """Tell whether a phone wants nothing more from a number, or from a service."""
    return (sender, to) in account.opted_out or (service is not None and (service.sid, to) in account.opted_out)


def _unsubscribed() -> Refused:
    return Refused(21610, _ERRORS[21610])


def _outside_window(world: World, account: Account, to: str, sender: str | None, options: _Options) -> bool:
    """Tell whether WhatsApp takes templates only: https://www.twilio.com/docs/api/errors/63016."""
    if not to.startswith("whatsapp:") or not world.quirks.whatsapp_window or options.template:
        return False
    wrote = account.wrote.get((sender or "", to))
    return wrote is None or world.clock.now() - wrote > WINDOW


def _content_type(url: str) -> str:
    ending = url.split("?", maxsplit=1)[0].rpartition(".")[2].lower()
    return {
        "png": "image/png", "gif": "image/gif", "pdf": "application/pdf", "mp4": "video/mp4", "mp3": "audio/mpeg",
        "txt": "text/plain", "vcf": "text/vcard",
    }.get(ending, "image/jpeg")  # fmt: skip


def receive(
    world: World, account: Account, to: str, sender: str, body: str, media: list[str], service: Service | None
) -> Message:
    """Take in a message from a phone, and heed STOP and START."""
    now = world.clock.now()
    word = body.strip().upper()
    for opted in [to] + ([service.sid] if service else []):
        if word in ("STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "OPTOUT", "REVOKE"):
            account.opted_out.add((opted, sender))
        elif word in ("START", "YES", "UNSTOP"):
            account.opted_out.discard((opted, sender))
    if sender.startswith("whatsapp:"):
        account.wrote[to, sender] = now
    many = segments.count(body)
    message = Message(
        sid=world.sid("MM" if media else "SM"),
        seq=0,
        created=now,
        account_sid=account.sid,
        to=to,
        sender=sender,
        body=body,
        start=now,
        steps=((0.0, "received"),),
        error=None,
        speed=world.clock.speed,
        service_sid=service.sid if service else None,
        direction="inbound",
        segments=many,
        price=MMS_PRICE / 2 if media and ":" not in sender else _price(sender, media, many),
        key=now,
    )
    _keep(world, account, message, media)
    return message


def reply(world: World, account: Account, inbound: Message, body: str) -> None:
    """Send what a webhook replied to a message, or refuse it."""
    to, sender = inbound.sender or "", inbound.to
    service = account.services.get(inbound.service_sid or "")
    if _opted_out(account, to, sender, service):
        raise _unsubscribed()
    plan = _plan(world, account, to, sender)
    options = _Options(direction="outbound-reply")
    _keep(world, account, _write(world, account, to, sender, service, body, [], plan, options), [])


# ---------------------------------------------------------------- the rest


def fetch(call: Call) -> Answer:
    """GET Messages/{Sid}."""
    message = call.find(call.account.messages, call.args[0])
    return Answer(render(message, max(call.seen, message.created), call.unbilled))


def listing(call: Call) -> Answer:
    """GET Messages."""
    query = call.query
    keep: list[Any] = []
    having: dict[str, str] = {}
    if (to := query.text("To")) is not None:
        wanted = having["to"] = _address(to) or to
        keep.append(lambda message: message.to == wanted)
    if (sender := query.text("From")) is not None:
        origin = having["sender"] = _address(sender) or sender
        keep.append(lambda message: message.sender == origin and not _hides_sender(message, call.now))
    seen, unbilled = call.seen, call.unbilled
    return paged(
        call,
        "messages",
        call.account.messages,
        keep,
        lambda message: render(message, max(seen, message.created), unbilled),
        Window.read(query, "DateSent"),
        having,
    )


def _hides_sender(message: Message, now: float) -> bool:
    return message.service_sid is not None and message.status(now) in ("accepted", "scheduled", "canceled")


def update(call: Call) -> Answer:
    """POST Messages/{Sid}: redact, or cancel."""
    message = call.find(call.account.messages, call.args[0])
    status = call.form.choice("Status", ("canceled",))
    body = call.form.get("Body")
    if body:
        raise Refused(20001, "The Body of a message can only be emptied")
    if status is None and body is None:
        raise Refused(20001, "Body or Status is required")
    if status is not None:
        if message.status(call.now) != "scheduled":
            raise Refused(30409, "This message cannot be canceled", 409)
        message.turn("canceled", call.now)
        call.account.messages.move(message, NEVER)
        if message.status_callback:
            call.world.on_change(message)
    if body == "":
        if not message.is_final(call.now) and message.status(call.now) != "sent":
            raise Refused(20009, "Cannot redact this message before it is complete", 409)
        message.body = ""
    message.touched = call.now
    return Answer(render(message, call.now, call.unbilled))


def delete(call: Call) -> Answer:
    """DELETE Messages/{Sid}: once it is final; its media and feedback go too."""
    message = call.find(call.account.messages, call.args[0])
    if not message.is_final(call.now):
        raise Refused(20009, "Cannot delete this resource before it is complete", 409)
    call.account.drop(call.account.messages, message, call.now)
    return Answer(status=204)


def set_outcome(account: Account, message: Message, now: float, status: str, error: int | None) -> None:
    """Move a message to a status by hand; from there it stays."""
    account.ledger.reopen(account.messages, message, now)
    message.turn(status, now)
    message.error = error
    account.messages.move(message, message.sent_at())


def _media_of(call: Call) -> Shelf[Media]:
    message = call.find(call.account.messages, call.args[0])
    shelf: Shelf[Media] = Shelf()
    for item in message.media or ():
        shelf.add(item)
    return shelf


def render_media(call: Call, media: Media) -> dict[str, Any]:
    return {
        "sid": media.sid,
        "account_sid": call.account.sid,
        "parent_sid": media.parent_sid,
        "content_type": media.content_type,
        "date_created": date(media.created),
        "date_updated": date(media.created),
        "uri": f"{call.account.uri}/Messages/{media.parent_sid}/Media/{media.sid}.json",
    }


def list_media(call: Call) -> Answer:
    """GET Messages/{Sid}/Media."""
    shelf = _media_of(call)
    window = Window.read(call.query, "DateCreated")
    keep = [] if window is None else [lambda media: window.holds(media.created)]
    return paged(call, "media_list", shelf, keep, lambda media: render_media(call, media))


def fetch_media(call: Call) -> Answer:
    """GET Messages/{Sid}/Media/{Sid}."""
    media = _media_of(call).get(call.args[1])
    if media is None:
        raise not_found(call.path)
    return Answer(render_media(call, media))


_PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000d49444154789c6360606060000000050001a5f645400000000049454e44ae426082"
)


def media_content(call: Call) -> Answer:
    """GET Messages/{Sid}/Media/{Sid} without ``.json``: the content. The emulator keeps a pixel for each."""
    media = _media_of(call).get(call.args[1])
    if media is None:
        raise not_found(call.path)
    return Answer(_PIXEL, content_type="image/png")


def delete_media(call: Call) -> Answer:
    """DELETE Messages/{Sid}/Media/{Sid}."""
    message = call.find(call.account.messages, call.args[0])
    media = _media_of(call).get(call.args[1])
    if media is None:
        raise not_found(call.path)
    message.media.remove(media)
    return Answer(status=204)


def feedback(call: Call) -> Answer:
    """POST Messages/{Sid}/Feedback: https://www.twilio.com/docs/messaging/api/message-feedback-resource."""
    message = call.find(call.account.messages, call.args[0])
    outcome = call.form.choice("Outcome", ("confirmed", "unconfirmed")) or "confirmed"
    if not message.provide_feedback:
        raise Refused(20001, "Feedback is only taken for messages sent with ProvideFeedback=true")
    message.feedback = outcome
    return Answer(
        {
            "account_sid": call.account.sid,
            "message_sid": message.sid,
            "outcome": outcome,
            "date_created": date(call.now),
            "date_updated": date(call.now),
            "uri": f"{call.account.uri}/Messages/{message.sid}/Feedback.json",
        }
    )


ROUTES = {
    ("POST", "Messages"): create,
    ("GET", "Messages"): listing,
    ("GET", "Messages/{}"): fetch,
    ("POST", "Messages/{}"): update,
    ("DELETE", "Messages/{}"): delete,
    ("GET", "Messages/{}/Media"): list_media,
    ("GET", "Messages/{}/Media/{}"): fetch_media,
    ("DELETE", "Messages/{}/Media/{}"): delete_media,
    ("POST", "Messages/{}/Feedback"): feedback,
}
