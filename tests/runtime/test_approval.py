"""Which question an answer was meant for: by what a phone and a number have written to each other."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import pytest

from airflow_provider_twilio.api.messages import Message
from airflow_provider_twilio.api.segments import count
from airflow_provider_twilio.runtime.approval import Question, Reply, find_reply

NOW = 1_750_000_000.0
OURS = "SMours"


def at(second: float) -> str:
    return format_datetime(datetime.fromtimestamp(NOW + second, UTC))


def said(second: float, body: str, sid: str = "") -> Message:
    fields = {"direction": "inbound", "status": "received", "date_sent": at(second), "body": body}
    return Message({"sid": sid or f"in{second}", **fields})


def asked(second: float, code: str | None, lasts: float = 600, sid: str = "") -> Message:
    body = Question(code, 0, lasts).text("Other?")
    fields = {"direction": "outbound-api", "status": "delivered", "date_sent": at(second), "body": body}
    return Message({"sid": sid or f"out{second}", **fields})


def answer(code: str | None, *log: Message, lasts: float = 600) -> Any:
    found = find_reply(Question(code, NOW, lasts), OURS, log)
    return None if found is None else (found[0].says, found[1].sid)


@pytest.mark.parametrize(
    ("body", "reply"),
    [
        ("YES 4821", Reply("yes", "4821")),
        ("yes 4821", Reply("yes", "4821")),
        (" Yes, 4821. ", Reply("yes", "4821")),
        ("4821 yes", Reply("yes", "4821")),
        ("y4821", Reply("yes", "4821")),
        ("“Yes” 4821!", Reply("yes", "4821")),
        ("N 4821", Reply("no", "4821")),
        ("no", Reply("no")),
        ("Yes", Reply("yes")),
        ("STOP", Reply("stop")),
        (" stop. ", Reply("stop")),
        ("yes 4821 but not before noon", None),
        ("yes and no", None),
        ("yes 48211", None),
        ("yes 482", None),
        ("4821", None),
        ("yesterday", None),
        ("please stop asking", None),
        ("", None),
        (None, None),
    ],
)
def test_replies(body: str | None, reply: Reply | None):
    assert Reply.read(body) == reply


@pytest.mark.parametrize(
    ("code", "lasts", "ends"),
    [
        ("4821", 1800, "Reply YES 4821 or NO 4821 within 30 min"),
        ("4821", 3600, "Reply YES 4821 or NO 4821 within 1 h"),
        ("4821", 5400, "Reply YES 4821 or NO 4821 within 90 min"),
        (None, 45, "Reply YES or NO within 45 s"),
    ],
)
def test_a_question_says_how_to_answer_and_is_known_again(code: str | None, lasts: float, ends: str):
    text = Question(code, NOW, lasts).text("Deploy v2.3 to production?")
    assert text == f"Deploy v2.3 to production? {ends}"
    fields = {"direction": "outbound-api", "date_sent": at(0), "body": f"Sent from your Twilio trial account - {text}"}
    assert Question.read(Message({"sid": OURS, **fields})) == Question(code, NOW, lasts)
    assert count(text).segments == 1


@pytest.mark.parametrize("body", ["Reply YES 4821 or NO 4822 within 30 min", "Reply YES or NO", "hello", None])
def test_what_asks_nothing(body: str | None):
    assert Question.read(Message({"sid": "a", "body": body, "date_sent": at(0)})) is None


def test_its_code_answers_it():
    assert answer("4821", said(5, "yes 4821")) == ("yes", "in5")
    assert answer("4821", said(5, "no 4821"), said(6, "yes 4821")) == ("no", "in5")


def test_what_does_not_count():
    assert answer("4821", said(5, "yes")) is None
    assert answer("4821", said(5, "yes 4822")) is None
    assert answer("4821", said(-5, "yes 4821")) is None
    assert answer("4821", said(601, "yes 4821")) is None
    assert answer("4821", said(600, "yes 4821")) == ("yes", "in600")
    assert answer(None, said(5, "yes 4821")) is None


def test_two_open_questions_get_each_its_own():
    log = (asked(-10, "1111"), said(5, "yes 1111"), said(6, "no 4821"))
    assert answer("4821", *log) == ("no", "in6")


def test_a_code_that_two_open_questions_have_answers_neither():
    assert answer("4821", asked(-10, "4821"), said(5, "yes 4821")) is None
    assert answer("4821", asked(-10, "4821", lasts=12), said(5, "yes 4821")) == ("yes", "in5")


def test_a_bare_answer_counts_if_one_question_is_open():
    assert answer(None, said(5, "yes")) == ("yes", "in5")
    assert answer(None, asked(-10, None), said(5, "yes")) is None
    assert answer(None, asked(-10, "1111"), said(5, "yes")) is None
    assert answer(None, asked(3, None), said(5, "yes")) is None
    assert answer(None, asked(5, None), said(5, "yes")) is None
    assert answer(None, asked(7, None), said(5, "yes")) == ("yes", "in5")


def test_what_is_answered_or_over_is_open_no_more():
    assert answer(None, asked(-10, None), said(-5, "yes"), said(5, "no")) == ("no", "in5")
    assert answer(None, asked(-10, "1111"), said(2, "yes 1111"), said(5, "no")) == ("no", "in5")
    assert answer(None, asked(-10, None, lasts=12), said(5, "no")) == ("no", "in5")


def test_stop_ends_it():
    assert answer("4821", said(5, "STOP"), said(6, "yes 4821")) == ("stop", "in5")
    assert answer("4821", said(5, "yes 4821"), said(6, "STOP")) == ("yes", "in5")
    assert answer("4821", said(-5, "STOP"), said(6, "yes 4821")) == ("yes", "in6")


def test_its_own_message_in_the_log_is_not_another_question():
    assert answer(None, asked(0, None, sid=OURS), said(5, "yes")) == ("yes", "in5")
