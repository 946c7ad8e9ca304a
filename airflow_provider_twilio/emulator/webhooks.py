"""Call back: statuses to StatusCallback addresses, inbound messages and calls to a number's webhook, signed.

https://www.twilio.com/docs/usage/webhooks. Statuses are computed on read, so nobody notices when one is reached; for
what wants to be told, one task on the server's loop sleeps until the next is due.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from hashlib import sha1
from heapq import heappop, heappush
from itertools import count, islice
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qsl, urldefrag, urlencode, urlsplit

from airflow_provider_twilio.api.request import VERSION
from airflow_provider_twilio.emulator import calls, messages, recordings, twiml
from airflow_provider_twilio.emulator.params import Address, reaches
from airflow_provider_twilio.emulator.wire import Refused, date

if TYPE_CHECKING:
    import httpx

    from airflow_provider_twilio.emulator.numbers import Number
    from airflow_provider_twilio.emulator.services import Service
    from airflow_provider_twilio.emulator.world import Account, World

logger = logging.getLogger(__name__)
T = TypeVar("T")

CONNECT, READ, TOTAL, RETRIES = 5.0, 15.0, 15.0, 1
LONGEST_ANSWER = 64 * 1024
RETRIEVAL_FAILED, CANNOT_BE_READ = "11200", "12100"


@dataclass(slots=True, eq=False)
class Delivery:
    """Hold one call back: ``status`` is the answer's, None if there was none."""

    time: float
    method: str
    url: str
    params: dict[str, str]
    status: int | None = None
    error: str | None = None
    tries: int = 0

    def as_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


def signature(token: str, url: str, params: Mapping[str, str]) -> str:
    """Sign a webhook: https://www.twilio.com/docs/usage/security#validating-requests."""
    text = url + "".join(name + params[name] for name in sorted(params))
    return b64encode(hmac.new(token.encode(), text.encode(), sha1).digest()).decode()


class Webhooks:
    """Deliver for one world, on the loop of its server."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._number = count()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake = asyncio.Event()
        self._main: asyncio.Task[None] | None = None
        self._chains: dict[str, asyncio.Task[None]] = {}
        self._held: dict[str, list[Callable[[], Any]]] = {}
        self._client: httpx.AsyncClient | None = None
        world.on_change = self.changed
        world.on_reset = self.clear
        world.clock.moved.append(self._wake_up)

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Learn on which loop to work; called when the first request comes in."""
        if self._loop is not loop:
            self._loop, self._wake = loop, asyncio.Event()
            if self._due:
                self._wake_up()

    def clear(self) -> None:
        self._due.clear()
        self._held.clear()

    # -------------------------------------------------------------- what is due

    def changed(self, record: Any) -> None:
        """Plan what a message or call has to report from now on."""
        if isinstance(record, messages.Message):
            self._plan_message(record)
        else:
            self._plan_call(record)
        self._wake_up()

    def _plan_message(self, message: messages.Message) -> None:
        for index in range(message.told, len(message.steps)):
            if _is_told(message, index):
                self._at(message.at(index), partial(self._report_message, message))

    def _plan_call(self, call: calls.CallRecord) -> None:
        times = [call.at(index) for index in range(len(call.steps))]
        if call.amd is not None:
            times.append(call.detected)
        if call.course is not None and call.course.then is not None:
            times.append(call.moment(call.base + call.course.then.at))
        times += [when for recording in call.recordings for when, _ in recording.events()]
        now = self.world.clock.now()
        for when in {max(when, now) for when in times}:
            self._at(when, partial(self._attend, call))

    def _attend(self, call: calls.CallRecord) -> None:
        """Do what a call has come to by now: each thing once, however often somebody looks after it."""
        now = self.world.clock.now()
        self._report_call(call, now)
        self._go_on(call, now)
        self._report_amd(call, now)
        for recording in call.recordings:
            self._report_recording(recording, now)

    def _at(self, when: float, action: Callable[[], None]) -> None:
        heappush(self._due, (when, next(self._number), action))

    def _wake_up(self) -> None:
        loop = self._loop
        if loop is None or loop.is_closed():
            return
        try:
            loop.call_soon_threadsafe(self._awake)
        except RuntimeError:  # it has just been closed
            return

    def _awake(self) -> None:
        if self._main is None or self._main.done():
            if self._due:
                self._main = asyncio.ensure_future(self._run())
        else:
            self._wake.set()

    async def _run(self) -> None:
        while True:
            with self.world.lock:
                now = self.world.clock.now()
                while self._due and self._due[0][0] <= now:
                    _, _, action = heappop(self._due)
                    action()
                if not self._due:
                    return
                wait = None if self.world.clock.frozen else self._due[0][0] - now
            self._wake.clear()
            try:
                await asyncio.wait_for(self._wake.wait(), wait)
            except TimeoutError:
                continue

    # -------------------------------------------------------------- statuses

    def _report_message(self, message: messages.Message) -> None:
        for index in range(message.told, message.position(self.world.clock.now()) + 1):
            message.told = index + 1
            if _is_told(message, index) and message.status_callback is not None:
                self._report_status(message, message.status_callback, index)

    def _report_status(self, message: messages.Message, url: str, index: int) -> None:
        status = message.steps[index][1]
        shown = message.sender or ""
        params = {
            "ApiVersion": VERSION,
            "AccountSid": message.account_sid,
            "MessageSid": message.sid,
            "MessageStatus": status,
            "SmsSid": message.sid,
            "SmsStatus": status,
            "From": shown,
            "To": message.to,
        }
        if message.service_sid:
            params["MessagingServiceSid"] = message.service_sid
        if status in ("failed", "undelivered") and message.error:
            params["ErrorCode"] = str(message.error)
        if status in ("delivered", "undelivered"):
            params["RawDlrDoneDate"] = datetime.fromtimestamp(message.at(index), UTC).strftime("%y%m%d%H%M")
        final = index == len(message.steps) - 1
        self._tell(message.account_sid, message.sid, "POST", url, params, final)

    def _report_call(self, call: calls.CallRecord, now: float) -> None:
        for number, (index, event) in islice(enumerate(call.progress()), call.told, None):
            if call.at(index) > now:
                return
            call.told = number + 1
            if event in call.events and call.status_callback is not None:
                self._report_event(call, call.status_callback, index, event, number)

    def _report_event(self, call: calls.CallRecord, url: str, index: int, event: str, number: int) -> None:
        status = "initiated" if event == "initiated" else call.steps[index][1]
        at = call.at(index)
        params = _call_params(call, status) | {
            "Timestamp": date(at) or "",
            "CallbackSource": "call-progress-events",
            "SequenceNumber": str(number),
        }
        if event == "completed":
            params |= {
                "CallDuration": str(call.seconds()),
                "Duration": str(call.segments),
                "SipResponseCode": str(call.sip),
            }
            if call.answered_by and call.reached("in-progress", at) is not None:
                params["AnsweredBy"] = call.answered_by
        self._tell(call.account_sid, call.sid, call.status_method, url, params, event == "completed")

    def _tell(self, account_sid: str, sid: str, method: str, url: str, params: dict[str, str], final: bool) -> None:
        """Deliver after what was told of the same thing before."""
        quirks = self.world.quirks
        if not reaches(quirks.callbacks, url):
            return
        account = self.world.accounts.get(account_sid)
        if account is None:
            return
        held = self._held.setdefault(sid, [])
        for _ in range(quirks.callback_copies):
            held.append(lambda: self._deliver(account, method, url, params))
        if quirks.callback_order == "reversed":
            if not final:
                return
            held.reverse()
        self._held.pop(sid)
        for action in held:
            self._chain(sid, action)

    def _chain(self, sid: str, action: Callable[[], Any]) -> None:
        before = self._chains.get(sid)

        async def run() -> None:
            if before is not None:
                await asyncio.wait([before])
            await action()

        task = asyncio.ensure_future(run())
        self._chains[sid] = task

        def ended(done: asyncio.Task[None]) -> None:
            if self._chains.get(sid) is done:
                del self._chains[sid]

        task.add_done_callback(ended)

    # -------------------------------------------------------------- delivering

    async def _deliver(self, account: Account, method: str, url: str, params: dict[str, str]) -> str | None:
        """Make the request; give the answer's text, None if there is none."""
        import httpx

        address, fragment = urldefrag(url)
        given = dict(parse_qsl(fragment))
        tries = 1 + _limit(given.get("rc"), RETRIES, 5)
        connect, read, total = (
            _limit(given.get(name), int(usual * 1000), most) / 1000
            for name, usual, most in (("ct", CONNECT, 10_000), ("rt", READ, 15_000), ("tt", TOTAL, 15_000))
        )
        if self._client is None:
            self._client = httpx.AsyncClient(trust_env=False)
        delivery = Delivery(self.world.clock.now(), method, address, params)
        with self.world.lock:
            self.world.deliveries.append(delivery)
        query = method == "GET"
        if query and params:
            address += ("&" if urlsplit(address).query else "?") + urlencode(params)
        headers = {
            "X-Twilio-Signature": signature(account.auth_token, address, {} if query else params),
            "I-Twilio-Idempotency-Token": self.world.sid(""),
            "User-Agent": "TwilioProxy/1.1",
        }
        timeout = httpx.Timeout(read, connect=connect)
        try:
            async with asyncio.timeout(total):  # httpx's own begin anew with each byte
                for _ in range(tries):
                    delivery.tries += 1
                    try:
                        response = await self._client.request(
                            method, address, data=None if query else params, headers=headers, timeout=timeout
                        )
                    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                        delivery.error = type(error).__name__
                        continue
                    delivery.status, delivery.error = response.status_code, None
                    return response.text[:LONGEST_ANSWER] if response.status_code < 400 else None
        except (TimeoutError, httpx.HTTPError, httpx.InvalidURL, ValueError, UnicodeError) as error:
            delivery.error = type(error).__name__
        return None

    async def _ask(
        self,
        account: Account,
        addresses: Sequence[Address],
        params: dict[str, str],
        read: Callable[[str], T | None],
    ) -> tuple[T | None, str]:
        """Ask for a document, at the next address if one fails; give what was read, and where it came from.

        https://www.twilio.com/docs/usage/security/availability-reliability
        """
        source = ""
        for source, method in addresses:
            if not reaches(self.world.quirks.callbacks, source):
                continue
            text = await self._deliver(account, method, source, params)
            if text is not None and (document := read(text)) is not None:
                return document, source
            params = params | {"ErrorCode": RETRIEVAL_FAILED if text is None else CANNOT_BE_READ, "ErrorUrl": source}
        return None, source

    def _go_on(self, call: calls.CallRecord, now: float) -> None:
        """Fetch the document that the last one led to, and follow it unless the call has taken another turn by then."""
        account, course = self.world.accounts.get(call.account_sid), call.course
        if account is None or course is None or course.then is None or call.is_final(now):
            return
        then, base = course.then, call.base + course.then.at
        url, params = call.absolute(then.url), _call_params(call, "in-progress") | then.params
        if call.moment(base) > now or not reaches(self.world.quirks.callbacks, url):
            return
        if then.child and call.children:
            child = call.children[-1]
            params |= {"DialCallSid": child.sid, "DialCallStatus": child.steps[-1][1]}
            params["DialCallDuration"] = str(child.seconds())
        call.course = waiting = replace(course, then=None)

        async def fetch() -> None:
            addresses = [(url, then.method), *call.fallbacks]
            read, source = await self._ask(account, addresses, params, twiml.read)
            with self.world.lock:
                if call.course is not waiting or call.status(self.world.clock.now()) != "in-progress":
                    return
                call.document = source
                calls.replace_course(self.world, account, call, read or twiml.BROKEN, base)
                self.changed(call)

        self._chain(call.sid, fetch)

    def _report_amd(self, call: calls.CallRecord, now: float) -> None:
        """Tell who answered: https://www.twilio.com/docs/voice/answering-machine-detection."""
        when = call.detected
        if call.amd is None or call.answered_by is None or when > now or call.status(when) != "in-progress":
            return
        params = {
            "CallSid": call.sid,
            "AccountSid": call.account_sid,
            "AnsweredBy": call.answered_by,
            "MachineDetectionDuration": str(int(calls.DETECTION * 1000)),
        }
        (url, method), call.amd = call.amd, None
        self._tell(call.account_sid, f"{call.sid} amd", method, url, params, True)

    def _report_recording(self, recording: recordings.Recording, now: float) -> None:
        """Tell what becomes of a recording: https://www.twilio.com/docs/voice/api/recording."""
        for when, event in recording.events()[recording.told :]:
            if when > now or recording.deleted is not None:
                return
            recording.told += 1
            wishes = recording.wishes
            if event not in wishes.events or wishes.callback is None:
                continue
            params = {
                "AccountSid": recording.account_sid,
                "CallSid": recording.call.sid,
                "RecordingSid": recording.sid,
                "RecordingUrl": f"{self.world.base_url}{recording.uri}",
                "RecordingStatus": event,
                "RecordingChannels": str(recording.channels),
                "RecordingSource": recording.source,
                "RecordingStartTime": date(recording.created) or "",
                "RecordingTrack": wishes.track,
                "ErrorCode": "0",
            }
            done = event == "completed"
            if done:
                params["RecordingDuration"] = str(recording.seconds())
            self._tell(recording.account_sid, recording.sid, wishes.method, wishes.callback, params, done)

    # -------------------------------------------------------------- inbound

    def message_came_in(
        self, account: Account, message: messages.Message, number: Number, service: Service | None
    ) -> None:
        """Tell a number's webhook, or its service's, of a message, and send what it replies."""
        addresses = number.addresses("sms") if service is None else service.addresses(number)
        if not addresses or not reaches(self.world.quirks.callbacks, addresses[0][0]):
            return
        params = {
            "ToCountry": "US", "ToState": "", "SmsMessageSid": message.sid, "NumMedia": str(len(message.media or ())),
            "ToCity": "", "FromZip": "", "SmsSid": message.sid, "FromState": "", "SmsStatus": "received",
            "FromCity": "", "Body": message.body or "", "FromCountry": "US", "To": message.to, "ToZip": "",
            "NumSegments": str(message.segments), "MessageSid": message.sid, "AccountSid": account.sid,
            "From": message.sender or "", "ApiVersion": VERSION,
        }  # fmt: skip
        if message.service_sid:
            params["MessagingServiceSid"] = message.service_sid
        for index, item in enumerate(message.media or ()):
            params[f"MediaUrl{index}"] = f"{self.world.base_url}{account.uri}/Messages/{message.sid}/Media/{item.sid}"
            params[f"MediaContentType{index}"] = item.content_type

        async def deliver() -> None:
            replies, _ = await self._ask(account, addresses, params, _replies)
            with self.world.lock:
                for reply in replies or ():
                    try:
                        messages.reply(self.world, account, message, reply)
                    except Refused as refusal:
                        logger.warning("The reply to %s was refused with %d", message.sid, refusal.code)

        self._soon(lambda: self._chain(message.sid, deliver))

    def call_came_in(self, account: Account, call: calls.CallRecord, number: Number) -> None:
        """Ask a number's webhook what to do with a call."""
        self.changed(call)
        addresses = number.addresses("voice")
        if not addresses or not reaches(self.world.quirks.callbacks, addresses[0][0]):
            return

        async def deliver() -> None:
            course, source = await self._ask(account, addresses, _call_params(call, "ringing"), twiml.read)
            with self.world.lock:
                call.document = source
                calls.answer(self.world, account, call, course or twiml.BROKEN)
                self.changed(call)

        self._soon(lambda: self._chain(call.sid, deliver))

    def _soon(self, action: Callable[[], None]) -> None:
        self._at(self.world.clock.now(), action)
        self._wake_up()


def _is_told(message: messages.Message, index: int) -> bool:
    return index > 0 and message.steps[index][1] != "sending"


def _call_params(call: calls.CallRecord, status: str) -> dict[str, str]:
    return {
        "Called": call.to,
        "ToState": "",
        "CallerCountry": "US",
        "Direction": call.direction,
        "CallerState": "",
        "ToZip": "",
        "CallSid": call.sid,
        "To": call.to,
        "CallerZip": "",
        "ToCountry": "US",
        "ApiVersion": VERSION,
        "CalledZip": "",
        "CallStatus": status,
        "CalledCity": "",
        "From": call.caller,
        "AccountSid": call.account_sid,
        "CalledCountry": "US",
        "CallerCity": "",
        "Caller": call.caller,
        "FromCountry": "US",
        "ToCity": "",
        "FromCity": "",
        "CalledState": "",
        "FromZip": "",
        "FromState": "",
    }


def _replies(document: str) -> list[str] | None:
    """Read the messages of a TwiML answer, None if it can't be read; a plain text is one."""
    text = document.strip()
    if not text.startswith("<"):
        return [text[: messages.LONGEST_BODY]] if text else []
    root = twiml.parse(text)
    if root is None:
        return None
    said = [" ".join("".join(verb.itertext()).split()) for verb in root if verb.tag in ("Message", "Sms")]
    return [body[: messages.LONGEST_BODY] for body in said if body]


def _limit(given: str | None, default: int, most: int) -> int:
    return min(int(given), most) if given is not None and given.isascii() and given.isdigit() else default
