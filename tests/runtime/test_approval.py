"""The matching of replies to open questions, from the messages between a phone and a Twilio number."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import pytest

from airflow_provider_twilio.api.messages import Message
from airflow_provider_twilio.api.segments import count
from airflow_provider_twilio.runtime.approval import (
    CODE_LENGTH,
    FREE_WRONG_CODES,
    MAX_PAUSE,
    Question,
    Reply,
    WrongCodes,
    find_reply,
)

NOW = 1_750_000_000.0
QUESTION_SID = "SMquestion"


def date_header(second: float) -> str:
    return format_datetime(datetime.fromtimestamp(NOW + second, UTC))


def inbound(second: float, body: str, sid: str = "") -> Message:
    fields = {"direction": "inbound", "status": "received", "date_sent": date_header(second), "body": body}
    return Message({"sid": sid or f"in{second}", **fields})


def question(second: float, code: str | None, duration: float = 600, sid: str = "") -> Message:
    body = Question(code, 0, duration).format("Other?")
    fields = {"direction": "outbound-api", "status": "delivered", "date_sent": date_header(second), "body": body}
    return Message({"sid": sid or f"out{second}", **fields})


def answer(code: str | None, *messages: Message) -> Any:
    """Return the answer to a question asked at second 0, and the SID of the reply."""
    found = find_reply(Question(code, NOW, 600), QUESTION_SID, messages)
    return None if found is None else (found[0].answer, found[1].sid)


@pytest.mark.parametrize(
    ("body", "reply"),
    [
        ("YES 4821", Reply("yes", "4821")),
        ("yes 4821", Reply("yes", "4821")),
        (" Yes, 4821. ", Reply("yes", "4821")),
        ("4821 yes", Reply("yes", "4821")),
        ("y4821", Reply("yes", "4821")),
        ("“Yes” 4821!", Reply("yes", "4821")),
        ("YES 48213955", Reply("yes", "48213955")),
        ("no: 4821 3955.", Reply("no", "48213955")),
        ("4821-3955 yes", Reply("yes", "48213955")),
        ("N 4821", Reply("no", "4821")),
        ("no", Reply("no")),
        ("Yes", Reply("yes")),
        ("STOP", Reply("stop")),
        (" stop. ", Reply("stop")),
        ("yes 4821 but not before noon", None),
        ("yes and no", None),
        ("yes 48211", None),
        ("yes 482", None),
        ("yes 482139551", None),
        ("yes 4821395", None),
        ("4821", None),
        ("yesterday", None),
        ("please stop asking", None),
        ("", None),
        (None, None),
    ],
)
def test_reply_parses_answer_and_code(body: str | None, reply: Reply | None):
    assert Reply.parse(body) == reply


@pytest.mark.parametrize(
    ("code", "duration", "instructions"),
    [
        ("4821", 1800, "Reply YES 4821 or NO 4821 within 30 min"),
        ("48213955", 1800, "Reply YES 48213955 or NO 48213955 within 30 min"),
        ("4821", 3600, "Reply YES 4821 or NO 4821 within 1 h"),
        ("4821", 5400, "Reply YES 4821 or NO 4821 within 90 min"),
        (None, 45, "Reply YES or NO within 45 s"),
    ],
)
def test_question_format_is_parsed_back(code: str | None, duration: float, instructions: str):
    text = Question(code, NOW, duration).format("Deploy v2.3 to production?")
    assert text == f"Deploy v2.3 to production? {instructions}"
    body = f"Sent from your Twilio trial account - {text}"
    fields = {"direction": "outbound-api", "date_sent": date_header(0), "body": body}
    assert Question.parse(Message({"sid": QUESTION_SID, **fields})) == Question(code, NOW, duration)
    assert count(text).segments == 1


@pytest.mark.parametrize("body", ["Reply YES 4821 or NO 4822 within 30 min", "Reply YES or NO", "hello", None])
def test_question_parse_without_instructions_returns_none(body: str | None):
    assert Question.parse(Message({"sid": "a", "body": body, "date_sent": date_header(0)})) is None


def test_find_reply_with_code_matches_question():
    assert answer("4821", inbound(5, "yes 4821")) == ("yes", "in5")
    assert answer("4821", inbound(5, "no 4821"), inbound(6, "yes 4821")) == ("no", "in5")


def test_find_reply_ignores_wrong_code_and_time():
    assert answer("4821", inbound(5, "yes")) is None
    assert answer("4821", inbound(5, "yes 4822")) is None
    assert answer("4821", inbound(-5, "yes 4821")) is None
    assert answer("4821", inbound(601, "yes 4821")) is None
    assert answer("4821", inbound(600, "yes 4821")) == ("yes", "in600")
    assert answer(None, inbound(5, "yes 4821")) is None


def test_find_reply_distinguishes_open_questions_by_code():
    messages = (question(-10, "1111"), inbound(5, "yes 1111"), inbound(6, "no 4821"))
    assert answer("4821", *messages) == ("no", "in6")


def test_find_reply_ignores_code_of_two_open_questions():
    assert answer("4821", question(-10, "4821"), inbound(5, "yes 4821")) is None
    assert answer("4821", question(-10, "4821", duration=12), inbound(5, "yes 4821")) == ("yes", "in5")


def test_find_reply_without_code_needs_single_open_question():
    assert answer(None, inbound(5, "yes")) == ("yes", "in5")
    assert answer(None, question(-10, None), inbound(5, "yes")) is None
    assert answer(None, question(-10, "1111"), inbound(5, "yes")) is None
    assert answer(None, question(3, None), inbound(5, "yes")) is None
    assert answer(None, question(5, None), inbound(5, "yes")) is None
    assert answer(None, question(7, None), inbound(5, "yes")) == ("yes", "in5")


def test_find_reply_skips_answered_and_expired_questions():
    assert answer(None, question(-10, None), inbound(-5, "yes"), inbound(5, "no")) == ("no", "in5")
    assert answer(None, question(-10, "1111"), inbound(2, "yes 1111"), inbound(5, "no")) == ("no", "in5")
    assert answer(None, question(-10, None, duration=12), inbound(5, "no")) == ("no", "in5")


def test_find_reply_stop_ends_question():
    assert answer("4821", inbound(5, "STOP"), inbound(6, "yes 4821")) == ("stop", "in5")
    assert answer("4821", inbound(5, "yes 4821"), inbound(6, "STOP")) == ("yes", "in5")
    assert answer("4821", inbound(-5, "STOP"), inbound(6, "yes 4821")) == ("yes", "in6")


def test_find_reply_ignores_own_question_in_messages():
    assert answer(None, question(0, None, sid=QUESTION_SID), inbound(5, "yes")) == ("yes", "in5")


# ---------------------------------------------------------------- guessed codes

CODE = "48213955"


def guesses(count: int, start: float = 1, step: float = 1) -> list[Message]:
    """Return replies with different wrong codes, one after the other."""
    return [inbound(start + step * index, f"yes {10_000_000 + index}") for index in range(count)]


def test_find_reply_few_wrong_codes_are_forgiven():
    assert answer(CODE, *guesses(FREE_WRONG_CODES - 1), inbound(9, f"yes {CODE}")) == ("yes", "in9")


def test_find_reply_after_wrong_codes_ignores_phone_for_a_while():
    wrong = guesses(FREE_WRONG_CODES)  # the last one at second 5
    assert answer(CODE, *wrong, inbound(6, f"yes {CODE}")) is None
    assert answer(CODE, *wrong, inbound(64, f"yes {CODE}")) is None
    assert answer(CODE, *wrong, inbound(65, f"yes {CODE}")) == ("yes", "in65")
    assert answer(CODE, *wrong, inbound(6, f"no {CODE}"), inbound(70, f"yes {CODE}")) == ("yes", "in70")


def test_find_reply_pause_doubles_with_each_further_wrong_code_up_to_maximum():
    wrong = [*guesses(5), inbound(65, "yes 20000000"), inbound(185, "yes 20000001"), inbound(425, "yes 20000002")]
    assert answer(CODE, *wrong[:6], inbound(184, f"yes {CODE}")) is None
    assert answer(CODE, *wrong[:6], inbound(185, f"yes {CODE}")) == ("yes", "in185")
    assert answer(CODE, *wrong[:7], inbound(424, f"yes {CODE}")) is None
    found = find_reply(Question(CODE, NOW, 3600), QUESTION_SID, [*wrong, inbound(725, f"yes {CODE}")])
    assert found is not None
    assert found[1].sid == "in725"


def test_find_reply_guessing_for_a_week_tries_few_codes_and_keeps_question_open():
    week, wrong_codes = 7 * 86_400, WrongCodes()
    asked = Question(CODE, NOW, week + 600)
    messages = [inbound(second, f"yes {10_000_000 + second}") for second in range(1, week, 7)]
    assert find_reply(asked, QUESTION_SID, messages, wrong_codes) is None
    assert 9 * 10 ** (CODE_LENGTH - 1) / wrong_codes.count > 40_000
    owner = inbound(week + MAX_PAUSE, f"yes {CODE}")
    found = find_reply(asked, QUESTION_SID, [*messages, owner])
    assert found is not None
    assert found[1] is owner


def test_find_reply_counts_only_wrong_codes_of_open_question():
    known = [question(-900, "11111111", duration=60), *(inbound(second, "yes 11111111") for second in range(1, 9))]
    assert answer(CODE, *known, inbound(9, f"yes {CODE}")) == ("yes", "in9")
    bare = [inbound(second, "yes") for second in range(1, 9)]
    assert answer(CODE, *bare, inbound(9, f"yes {CODE}")) == ("yes", "in9")
    earlier = guesses(9, start=-20)
    assert answer(CODE, *earlier, inbound(9, f"yes {CODE}")) == ("yes", "in9")
    assert answer(None, *guesses(9), inbound(10, "yes")) == ("yes", "in10")


def test_find_reply_stop_counts_in_spite_of_wrong_codes():
    assert answer(CODE, *guesses(9), inbound(10, "STOP")) == ("stop", "in10")
