from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from typing import Any

import pytest
import requests

from airflow_provider_twilio.api.messages import FINAL, Media, Message
from airflow_provider_twilio.api.records import Field
from airflow_provider_twilio.emulator import Emulator, magic_numbers, serve
from airflow_provider_twilio.emulator.models.message import FINAL as EMULATED_FINAL
from tests.emulator.conftest import Api


def fields(record: type) -> set[str]:
    return {field.name for field in vars(record).values() if isinstance(field, Field)}


def service(api: Api, emulator: Emulator, *, empty: bool = False, **settings: str) -> str:
    sid = api.post("/messaging.twilio.com/v1/Services", FriendlyName="news", **settings)["sid"]
    if not empty:
        number = emulator.numbers[0]["sid"]
        api.post(f"/messaging.twilio.com/v1/Services/{sid}/PhoneNumbers", PhoneNumberSid=number)
    return str(sid)


def statuses_over_time(emulator: Emulator, api: Api, sid: str, step: float = 0.1, steps: int = 60) -> list[str]:
    """Return the statuses that a message goes through, each once."""
    seen = [api.get(f"Messages/{sid}.json")["status"]]
    for _ in range(steps):
        emulator.clock.advance(step)
        status = api.get(f"Messages/{sid}.json")["status"]
        if status != seen[-1]:
            seen.append(status)
    return seen


def test_create_message_returns_captured_fields(api: Api) -> None:
    message = api.send(body="Hello! 👍")
    assert fields(Message) == set(message)
    assert message["sid"].startswith("SM")
    assert (message["status"], message["direction"]) == ("queued", "outbound-api")
    assert (message["num_segments"], message["num_media"]) == ("1", "0")
    assert message["price"] is message["date_sent"] is message["error_code"] is None
    assert message["api_version"] == "2010-04-01"
    assert message["uri"] == f"/2010-04-01/Accounts/{api.account_sid}/Messages/{message['sid']}.json"
    assert parsedate_to_datetime(message["date_created"]).tzinfo is not None
    assert message["date_created"].endswith(" +0000")


def test_create_message_response_has_twilio_headers(api: Api) -> None:
    response = api("POST", "Messages.json", {"To": "+14155550100", "From": "+15005550006", "Body": "x"})
    assert response.status_code == 201
    assert response.headers["Twilio-Request-Id"] == "RQ" + response.json()["sid"][2:]
    assert response.headers["Twilio-Concurrent-Requests"] == "1"
    float(response.headers["Twilio-Request-Duration"])


def test_message_is_delivered_in_steps_and_billed(emulator: Emulator, api: Api) -> None:
    sid = api.send()["sid"]
    assert statuses_over_time(emulator, api, sid, steps=19) == ["queued", "sending", "sent"]
    emulator.clock.advance(0.2)
    message = api.get(f"Messages/{sid}.json")
    assert (message["status"], message["price"]) == ("delivered", "-0.00830")
    assert message["date_sent"] is not None
    assert message["price_unit"] == "USD"


def test_message_price_appears_one_second_after_sending(emulator: Emulator, api: Api) -> None:
    sid = api.send()["sid"]
    prices = []
    for seconds in (1.7, 0.2):
        emulator.clock.advance(seconds)
        message = api.get(f"Messages/{sid}.json")
        assert message["status"] == "sent"
        prices.append((message["price"], message["price_unit"]))
    assert prices == [(None, None), ("-0.00830", "USD")]


@pytest.mark.parametrize("number", sorted(magic_numbers.MESSAGE_BEHAVIORS))
def test_message_to_magic_number_follows_its_behavior(emulator: Emulator, api: Api, number: str) -> None:
    delivery = magic_numbers.MESSAGE_BEHAVIORS[number]
    sid = api.send(to=number)["sid"]
    emulator.clock.advance(delivery.steps[-1][0] + 0.1)
    message = api.get(f"Messages/{sid}.json")
    assert (message["status"], message["error_code"]) == (delivery.steps[-1][1], delivery.error_code)
    assert (message["error_message"] is None) == (delivery.error_code is None)


@pytest.mark.parametrize("number", sorted(magic_numbers.MESSAGE_REJECTIONS))
def test_create_message_rejects_magic_numbers(api: Api, number: str) -> None:
    code, _, status = magic_numbers.MESSAGE_REJECTIONS[number]
    assert api.error("POST", "Messages.json", {"To": number, "From": "+15005550006", "Body": "x"}) == (status, code)
    assert api.get("Messages.json")["messages"] == []


def test_queued_message_expires_after_validity_period(emulator: Emulator, api: Api) -> None:
    sid = api.send(to="+15005559012", ValidityPeriod=30)["sid"]
    emulator.clock.advance(29)
    assert api.get(f"Messages/{sid}.json")["status"] == "queued"
    emulator.clock.advance(2)
    message = api.get(f"Messages/{sid}.json")
    assert (message["status"], message["error_code"]) == ("failed", 30036)


E164 = {"To": "+14155550100", "From": "+15005550006", "Body": "x"}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"To": None}, 21604),
        ({"From": None}, 21603),
        ({"Body": None}, 21602),
        ({"To": "nobody"}, 21211),
        ({"To": "+0123"}, 21211),
        ({"From": "+14155559999"}, 21659),
        ({"From": "not-a-sender!"}, 21212),
        ({"From": "Airflow"}, 21612),
        ({"From": "12345"}, 21659),
        ({"To": "+15005550006"}, 21266),
        ({"Body": "x" * 1601}, 21617),
        ({"MediaUrl": ["http://example.com/a.png"] * 11}, 21623),
        ({"MediaUrl": "no address"}, 21620),
        ({"StatusCallback": "no address"}, 21609),
        ({"StatusCallback": "http://under_score.example.com/"}, 21609),
        ({"ValidityPeriod": "0"}, 21624),
        ({"ValidityPeriod": "36001"}, 21624),
        ({"ContentSid": "HX1"}, 21655),
        ({"ContentVariables": "{"}, 21656),
        ({"To": "+8501234567"}, 21408),
        ({"To": "whatsapp:+14155550100"}, 21910),
        ({"To": "whatsapp:+14155550100", "From": "whatsapp:+14155559999"}, 63007),
        ({"SmartEncoded": "maybe"}, 20001),
        ({"ScheduleType": "fixed"}, 35111),
        ({"SendAt": "2026-01-01T00:00:00Z"}, 35113),
        ({"ScheduleType": "fixed", "SendAt": "2026-01-01T00:00:00Z"}, 35118),
    ],
)
def test_create_message_invalid_parameter_returns_twilio_code(api: Api, change: dict[str, Any], code: int) -> None:
    form = {name: value for name, value in (E164 | change).items() if value is not None}
    assert api.error("POST", "Messages.json", form) == (400, code)
    assert api.get("Messages.json")["messages"] == []


@pytest.mark.parametrize("sid", ["MG" + "0" * 32, "news", "AC" + "0" * 32])
def test_create_message_rejects_unknown_service(api: Api, sid: str) -> None:
    form = {"To": "+14155550100", "Body": "x", "MessagingServiceSid": sid}
    assert api.error("POST", "Messages.json", form) == (400, 21705)


def test_create_message_rejects_service_without_fitting_sender(emulator: Emulator, api: Api) -> None:
    form = {"To": "+14155550100", "Body": "x", "MessagingServiceSid": service(api, emulator, empty=True)}
    assert api.error("POST", "Messages.json", form) == (400, 21704)
    next(iter(emulator.state.main.numbers)).capabilities["sms"] = False
    form["MessagingServiceSid"] = service(api, emulator)
    assert api.error("POST", "Messages.json", form) == (400, 21703)


def test_create_message_rejects_sender_without_sms(emulator: Emulator, api: Api) -> None:
    next(iter(emulator.state.main.numbers)).capabilities["sms"] = False
    assert api.error("POST", "Messages.json", E164) == (400, 21606)


@pytest.mark.parametrize("sender", ["+15005550006", "Airflow"])
def test_create_message_rejects_sender_outside_pool(emulator: Emulator, api: Api, sender: str) -> None:
    form = {
        "To": "+447400123456",
        "Body": "x",
        "From": sender,
        "MessagingServiceSid": service(api, emulator, empty=True),
    }
    assert api.error("POST", "Messages.json", form) == (400, 21711)
    assert api.get("Messages.json")["messages"] == []


def test_create_message_accepts_sender_of_pool(emulator: Emulator, api: Api) -> None:
    sid = service(api, emulator)
    assert api.send(MessagingServiceSid=sid, From=emulator.phone_number)["from"] == emulator.phone_number
    whatsapp = {"To": "whatsapp:+14155550100", "From": f"whatsapp:{emulator.phone_number}"}
    assert api.post("Messages.json", **whatsapp, Body="x", MessagingServiceSid=sid)["from"] == whatsapp["From"]


def test_create_message_full_queue_returns_429(api: Api) -> None:
    assert api.error("POST", "Messages.json", E164 | {"To": "+15005559205"}) == (429, 21611)


def test_messaging_service_selects_sender_after_acceptance(emulator: Emulator, api: Api) -> None:
    message = api.send(MessagingServiceSid=service(api, emulator))
    assert (message["status"], message["from"], message["num_segments"]) == ("accepted", None, "0")
    assert statuses_over_time(emulator, api, message["sid"]) == [
        "accepted",
        "queued",
        "sending",
        "sent",
        "delivered",
    ]
    later = api.get(f"Messages/{message['sid']}.json")
    assert (later["from"], later["num_segments"]) == (emulator.phone_number, "1")


QUOTED = "“" + "x" * 158 + "”"


@pytest.mark.parametrize(
    ("settings", "form", "segments"),
    [
        ({}, {}, "1"),
        ({"SmartEncoding": "false"}, {}, "3"),
        ({"SmartEncoding": "false"}, {"SmartEncoded": "true"}, "1"),
        ({}, {"SmartEncoded": "false"}, "3"),
    ],
)
def test_messaging_service_smart_encoding_reduces_segments(
    emulator: Emulator, api: Api, settings: dict[str, Any], form: dict[str, str], segments: str
) -> None:
    sid = api.send(body=QUOTED, MessagingServiceSid=service(api, emulator, **settings), **form)["sid"]
    emulator.clock.advance(5)
    assert api.get(f"Messages/{sid}.json")["num_segments"] == segments
    assert api.send(body=QUOTED)["num_segments"] == "3"


def test_messaging_service_validity_period_expires_message(emulator: Emulator, api: Api) -> None:
    news = service(api, emulator, ValidityPeriod="60")
    forms: list[dict[str, str]] = [{}, {"ValidityPeriod": "100"}]
    sids = [api.send(to="+15005559012", MessagingServiceSid=news, **form)["sid"] for form in forms]
    emulator.clock.advance(70)
    assert [api.get(f"Messages/{sid}.json")["error_code"] for sid in sids] == [30036, None]


def test_scheduled_message_is_sent_at_send_at(emulator: Emulator, api: Api) -> None:
    sid = service(api, emulator)
    when = emulator.clock.utc + timedelta(minutes=10)
    message = api.send(MessagingServiceSid=sid, ScheduleType="fixed", SendAt=when.isoformat())
    assert (message["status"], message["from"]) == ("scheduled", None)
    emulator.clock.advance(minutes=9, seconds=59)
    assert api.get(f"Messages/{message['sid']}.json")["status"] == "scheduled"
    emulator.clock.advance(10)
    later = api.get(f"Messages/{message['sid']}.json")
    assert later["status"] == "delivered"
    assert abs(parsedate_to_datetime(later["date_sent"]) - when) < timedelta(seconds=3)


@pytest.mark.parametrize("speed", [0.1, 10, 1000])
def test_speed_does_not_move_send_at(speed: float) -> None:
    with serve(speed=speed) as emulator:
        emulator.clock.freeze()
        api = Api(emulator, (emulator.account_sid, emulator.auth_token))
        when = emulator.clock.utc + timedelta(minutes=10)
        form = {"MessagingServiceSid": service(api, emulator), "ScheduleType": "fixed", "SendAt": when.isoformat()}
        path = f"Messages/{api.send(**form)['sid']}.json"
        emulator.clock.advance(minutes=9, seconds=59)
        assert api.get(path)["status"] == "scheduled"
        emulator.clock.advance(1 + 5 / speed)
        later = api.get(path)
        api.session.close()
    assert later["status"] == "delivered"
    sent_at = parsedate_to_datetime(later["date_sent"])
    assert timedelta(seconds=-1) < sent_at - when < timedelta(seconds=1 + 1 / speed)


@pytest.mark.parametrize(
    ("ahead", "code"), [(200, 35114), (299, 35114), (300, 35114), (-60, 35114), (36 * 86400, 35115)]
)
def test_create_message_rejects_send_at_outside_window(emulator: Emulator, api: Api, ahead: int, code: int) -> None:
    at = (emulator.clock.utc + timedelta(seconds=ahead)).isoformat()
    form = {"To": "+14155550100", "Body": "x", "ScheduleType": "fixed", "SendAt": at}
    form["MessagingServiceSid"] = service(api, emulator)
    assert api.error("POST", "Messages.json", form) == (400, code)


def test_update_message_cancels_only_scheduled_messages(emulator: Emulator, api: Api) -> None:
    at = (emulator.clock.utc + timedelta(hours=1)).isoformat()
    sid = api.send(MessagingServiceSid=service(api, emulator), ScheduleType="fixed", SendAt=at)["sid"]
    assert api.post(f"Messages/{sid}.json", Status="canceled")["status"] == "canceled"
    emulator.clock.advance(hours=2)
    canceled = api.get(f"Messages/{sid}.json")
    assert (canceled["status"], canceled["date_sent"], canceled["price"]) == ("canceled", None, None)
    other = api.send()["sid"]
    assert api.error("POST", f"Messages/{other}.json", {"Status": "canceled"})[1] == 30409


def test_create_message_accepts_send_at_after_more_than_300_seconds(emulator: Emulator, api: Api) -> None:
    at = (emulator.clock.utc + timedelta(seconds=301)).isoformat()
    sid = service(api, emulator)
    assert api.send(MessagingServiceSid=sid, ScheduleType="fixed", SendAt=at)["status"] == "scheduled"


def test_update_message_rejects_cancellation_with_redaction(emulator: Emulator, api: Api) -> None:
    at = (emulator.clock.utc + timedelta(hours=1)).isoformat()
    sid = api.send(MessagingServiceSid=service(api, emulator), ScheduleType="fixed", SendAt=at)["sid"]
    assert api.error("POST", f"Messages/{sid}.json", {"Status": "canceled", "Body": ""}) == (400, 30400)
    message = api.get(f"Messages/{sid}.json")
    assert (message["status"], message["body"]) == ("scheduled", "hello")


def test_message_is_redacted_and_deleted_once_final(emulator: Emulator, api: Api) -> None:
    sid = api.send()["sid"]
    assert api.error("DELETE", f"Messages/{sid}.json") == (409, 20009)
    emulator.clock.advance(5)
    assert api.error("POST", f"Messages/{sid}.json", {"Body": "other"}) == (400, 20001)
    assert api.error("POST", f"Messages/{sid}.json", {}) == (400, 20001)
    assert api.post(f"Messages/{sid}.json", Body="")["body"] == ""
    assert api("DELETE", f"Messages/{sid}.json").status_code == 204
    assert api.error("GET", f"Messages/{sid}.json") == (404, 20404)
    assert api.error("DELETE", f"Messages/{sid}.json") == (404, 20404)


def test_media_are_listed_fetched_and_deleted(emulator: Emulator, api: Api) -> None:
    urls = ["https://example.com/a.png", "https://example.com/b.pdf"]
    message = api.post("Messages.json", To="+14155550100", From=emulator.phone_number, MediaUrl=urls)
    assert message["sid"].startswith("MM")
    assert (message["num_media"], message["body"]) == ("2", None)
    items = api.get(f"Messages/{message['sid']}/Media.json")["media_list"]
    assert {item["content_type"] for item in items} == {"image/png", "application/pdf"}
    assert set(items[0]) == fields(Media)
    one = f"Messages/{message['sid']}/Media/{items[0]['sid']}"
    assert api.get(f"{one}.json") == items[0]
    redirect = api("GET", one, allow_redirects=False)
    location = redirect.headers["location"]
    assert redirect.status_code == 307
    assert location.startswith(f"{emulator.url}/media.twiliocdn.com/")
    assert requests.get(location, timeout=5).headers["content-type"] == "image/png"
    assert api("GET", one).headers["content-type"] == "image/png"
    assert requests.get(redirect.request.url or "", timeout=5).status_code == 401
    assert requests.post(location, timeout=5).status_code == 405
    assert api("DELETE", f"{one}.json").status_code == 204
    assert api.error("GET", f"{one}.json") == (404, 20404)
    assert api.error("GET", one) == (404, 20404)
    assert requests.get(location, timeout=5).status_code == 404
    assert api.get(f"Messages/{message['sid']}.json")["num_media"] == "1"


def test_create_feedback_requires_provide_feedback(api: Api) -> None:
    sid = api.send(ProvideFeedback="true")["sid"]
    assert api.post(f"Messages/{sid}/Feedback.json", Outcome="confirmed")["outcome"] == "confirmed"
    assert api.error("POST", f"Messages/{sid}/Feedback.json", {"Outcome": "perhaps"}) == (400, 20001)
    assert api.error("POST", f"Messages/{api.send()['sid']}/Feedback.json", {}) == (400, 20001)


def test_opt_out_applies_to_number_and_service(emulator: Emulator, api: Api) -> None:
    sid = service(api, emulator)
    emulator.receive_message("Stop", from_="+14155550100")
    assert api.error("POST", "Messages.json", E164) == (400, 21610)
    later_rejected = api.send(MessagingServiceSid=sid)["sid"]
    emulator.clock.advance(5)
    message = api.get(f"Messages/{later_rejected}.json")
    assert (message["status"], message["error_code"]) == ("failed", 21610)
    api.send(to="+14155550111")
    emulator.receive_message("START", from_="+14155550100")
    assert api.send()["status"] == "queued"


def test_receive_message_stores_inbound_message(emulator: Emulator, api: Api) -> None:
    sid = emulator.receive_message("hi there", from_="+14155550100")
    message = api.get(f"Messages/{sid}.json")
    assert (message["status"], message["direction"]) == ("received", "inbound")
    assert (message["from"], message["to"], message["body"]) == ("+14155550100", emulator.phone_number, "hi there")
    with pytest.raises(ValueError, match="no account owns"):
        emulator.receive_message("hi", from_="+14155550100", to="+14155559999")


@pytest.mark.parametrize("body", ["Zażółć 👩‍👩‍👧 \x00 \u2028 </script>", "a lone surrogate: \ud800", ""])
def test_list_messages_returns_unusual_bodies_unchanged(emulator: Emulator, api: Api, body: str) -> None:
    sid = emulator.receive_message(body, from_="+14155550123")
    (listed,) = api.get("Messages.json")["messages"]
    assert (listed["sid"], listed["body"]) == (sid, body)


def test_trial_account_reaches_verified_numbers_with_prefix(emulator: Emulator, api: Api) -> None:
    emulator.quirks.set(trial=True)
    assert api.error("POST", "Messages.json", E164) == (400, 21608)
    emulator.verify("(415) 555-0100")
    assert api.send(body="hi")["body"] == "Sent from your Twilio trial account - hi"


def test_create_message_rejects_disabled_regions(api: Api) -> None:
    for to in ("+5351234567", "+989121234567", "+8501921234567"):
        assert api.error("POST", "Messages.json", E164 | {"To": to}) == (400, 21408)


def test_list_messages_filters_by_address_and_date(emulator: Emulator, api: Api) -> None:
    emulator.clock.freeze(datetime(2026, 3, 1, 12, tzinfo=UTC))
    for day in range(4):
        api.send(to=f"+1415555010{day}")
        emulator.clock.advance(days=1)

    def listed_recipients(**filters: str) -> list[str]:
        return [message["to"][-1] for message in api.get("Messages.json", **filters)["messages"]]

    assert listed_recipients() == ["3", "2", "1", "0"]
    assert listed_recipients(To="+14155550102") == ["2"]
    assert listed_recipients(From=emulator.phone_number) == ["3", "2", "1", "0"]
    assert listed_recipients(From="+14155550102") == []
    assert listed_recipients(DateSent="2026-03-02") == ["1"]
    assert listed_recipients(**{"DateSent>": "2026-03-03"}) == ["3", "2"]
    assert listed_recipients(**{"DateSent<": "2026-03-02"}) == ["1", "0"]
    assert listed_recipients(**{"DateSent>": "2026-03-02T12:00:00Z", "DateSent<": "2026-03-03T12:00:30Z"}) == ["2", "1"]
    assert listed_recipients(**{"DateSent>": "03/03/2026 05:00:00 MST"}) == ["3", "2"]
    for wrong in ("yesterday", "2026-13-01", ">=2026-01-01", "2026-02-30", "99999999999-01-01"):
        assert api.error("GET", "Messages.json", {"DateSent>": wrong}) == (400, 20001)


@pytest.mark.parametrize(
    ("unsent", "order"), [("first", ["2", "0", "1"]), ("last", ["1", "2", "0"]), ("date_created", ["2", "1", "0"])]
)
def test_list_messages_places_unsent_by_quirk(emulator: Emulator, api: Api, unsent: str, order: list[str]) -> None:
    emulator.quirks.set(unsent=unsent)
    api.send(to="+15005559012", body="0")  # stays queued
    emulator.clock.advance(10)
    api.send(body="1")
    emulator.clock.advance(10)
    api.send(to="+15005559012", body="2")
    assert [message["body"] for message in api.get("Messages.json")["messages"]] == order


def test_set_message_status_keeps_date_sent_and_price(emulator: Emulator, api: Api) -> None:
    sid = api.send()["sid"]
    emulator.clock.advance(60)
    before = api.get(f"Messages/{sid}.json")
    emulator.clock.advance(days=2)
    emulator.set_message_status(sid, "undelivered", 30003)
    after = api.get(f"Messages/{sid}.json")
    assert (after["status"], after["error_code"], after["date_updated"]) == (
        "undelivered", 30003, format_datetime(emulator.clock.utc),
    )  # fmt: skip
    assert (after["date_sent"], after["price"]) == (before["date_sent"], "-0.00830")
    assert api.get("Messages.json", DateSent=str(emulator.clock.utc.date()))["messages"] == []


def test_set_message_status_is_permanent(emulator: Emulator, api: Api) -> None:
    sid = api.send()["sid"]
    emulator.set_message_status(sid, "undelivered", 30003)
    emulator.clock.advance(60)
    message = api.get(f"Messages/{sid}.json")
    assert (message["status"], message["error_code"]) == ("undelivered", 30003)
    with pytest.raises(ValueError, match="status must be one of"):
        emulator.set_message_status(sid, "lost")


def test_final_message_statuses_match_api() -> None:
    assert EMULATED_FINAL == FINAL


def test_message_content_retention_applies_once_sent(emulator: Emulator, api: Api) -> None:
    message = api.send(ContentRetention="discard", AddressRetention="obfuscate")
    assert (message["body"], message["to"]) == ("hello", "+14155550100")
    emulator.clock.advance(5)
    message = api.get(f"Messages/{message['sid']}.json")
    assert (message["body"], message["to"]) == ("", "+1415555XXXX")
    kept = api.send(ContentRetention="retain", AddressRetention="retain")
    emulator.clock.advance(5)
    assert api.get(f"Messages/{kept['sid']}.json")["to"] == "+14155550100"


def test_whatsapp_window_requires_template_after_a_day(emulator: Emulator, api: Api) -> None:
    to, own = "whatsapp:+14155550100", f"whatsapp:{emulator.phone_number}"

    def outcome(**form: str) -> tuple[str, int | None]:
        sid = api.send(to=to, From=own, **form)["sid"]
        emulator.clock.advance(10)
        message = api.get(f"Messages/{sid}.json")
        return message["status"], message["error_code"]

    assert outcome() == ("delivered", None)
    emulator.quirks.set(whatsapp_window=True)
    assert outcome() == ("failed", 63016)
    emulator.receive_message("hi", from_=to)
    assert outcome() == ("delivered", None)
    emulator.clock.advance(hours=25)
    assert outcome() == ("failed", 63016)
    assert outcome(ContentSid="HX" + "0" * 32) == ("delivered", None)


def test_rcs_message_is_read(emulator: Emulator, api: Api) -> None:
    sid = api.send(to="rcs:+14155550100", From="rcs:agent")["sid"]
    seen = []
    for _ in range(5):
        emulator.clock.advance(1)
        seen.append(api.get(f"Messages/{sid}.json")["status"])
    assert seen == ["sent", "delivered", "delivered", "read", "read"]
