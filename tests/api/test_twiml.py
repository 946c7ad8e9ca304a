"""TwiML: escaping, well-formedness and safety of the check."""

from __future__ import annotations

import time
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_twilio.api import twiml
from airflow_provider_twilio.api.errors import BadParameter
from airflow_provider_twilio.api.values import UNRESOLVED


def test_say_builds_twiml():
    assert twiml.say("Hello") == "<Response><Say>Hello</Say></Response>"
    assert twiml.say("Bonjour", voice="Polly.Lea", language="fr-FR") == (
        '<Response><Say voice="Polly.Lea" language="fr-FR">Bonjour</Say></Response>'
    )


@given(st.text(), st.none() | st.text(), st.none() | st.text())
def test_say_escapes_any_text(text: str, voice: str | None, language: str | None):
    try:
        made = twiml.say(text, voice, language)
    except BadParameter:
        return
    twiml.check("twiml", made)
    say = ET.fromstring(made)[0]
    assert (say.text or "").replace("\r", "\n") == text.replace("\r\n", "\n").replace("\r", "\n")
    assert (say.tag, len(say)) == ("Say", 0)
    assert set(say.attrib) == {name for name, value in (("voice", voice), ("language", language)) if value is not None}


@pytest.mark.parametrize(
    "text", ["</Say><Dial>+14155550100</Dial><Say>", "<!-- -->", "]]>", "&amp;", "\"quotes\" & 'more'", "👍 naïve"]
)
def test_say_never_turns_text_into_elements(text: str):
    root = ET.fromstring(twiml.say(text, voice=text))
    assert [element.tag for element in root.iter()] == ["Response", "Say"]
    assert (root[0].text, root[0].get("voice")) == (text, text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("bell \x07", r"say contains a character that XML cannot represent \(U\+0007 at 5\)"),
        ("\x00", "say contains a character"),
        ("\ud83d", "say contains a character"),
        ("\ufffe", "say contains a character"),
        (5, "say is of type int"),
        ("x" * 4000, "say has 4032 characters as TwiML: Twilio accepts at most 4000"),
    ],
)
def test_say_rejects_unrepresentable_text(text: Any, message: str):
    with pytest.raises(BadParameter, match=message):
        twiml.say(text)


@pytest.mark.parametrize(
    "document",
    [
        "<Response/>",
        '<?xml version="1.0" encoding="UTF-8"?>\n<Response><Say>Grüße</Say></Response>\n',
        "<!-- a comment --><Response><Dial><Number>1</Number></Dial></Response>",
        "<Response><Say><![CDATA[a < b]]></Say></Response>",
        None,
        UNRESOLVED,
    ],
)
def test_check_accepts_twiml(document: Any):
    twiml.check("twiml", document)


BOMB = (
    '<!DOCTYPE lolz [<!ENTITY a "lol">'
    + "".join(f'<!ENTITY {name} "{f"&{before};" * 10}">' for before, name in zip("abcdefgh", "bcdefghi", strict=True))
    + "]><Response><Say>&i;</Say></Response>"
)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("<Response>", r"twiml is not well-formed XML \(no element found, line 1, column 11\): pass one <Response>"),
        ("<Response><Say>a & b</Say></Response>", "twiml is not well-formed XML"),
        ("<Response><Say>a</Response>", r"twiml is not well-formed XML \(mismatched tag"),
        ("<Response/><Response/>", "twiml is not well-formed XML"),
        ("<Response>&nbsp;</Response>", "twiml is not well-formed XML"),
        ("", "twiml is not well-formed XML"),
        ("Hello", "twiml is not well-formed XML"),
        ("<Say>Hello</Say>", "twiml has the root element <Say>"),
        ("<response/>", "twiml has the root element <response>"),
        ("<Response>\x07</Response>", "twiml contains a character that XML cannot represent"),
        ("<Response>\ud83d</Response>", "twiml contains a character that XML cannot represent"),
        ('<!DOCTYPE x SYSTEM "file:///etc/passwd"><Response/>', "twiml contains a document type"),
        (BOMB, "twiml contains a document type"),
        (b"<Response/>", "twiml is of type bytes"),
        (f"<Response>{'x' * 3980}</Response>", "twiml has 4001 characters: Twilio accepts at most 4000"),
    ],
)
def test_check_rejects_invalid_twiml(document: Any, message: str):
    begun = time.monotonic()
    with pytest.raises(BadParameter, match=message):
        twiml.check("twiml", document)
    assert time.monotonic() - begun < 1


@given(st.text(alphabet="<>/&;=\"'! -?[]CDATARespon\n\x00é", max_size=200))
def test_check_of_any_text_raises_bad_parameter_only(document: str):
    try:
        twiml.check("twiml", document)
    except BadParameter:
        return
    assert ET.fromstring(document).tag == "Response"
