"""Test credentials and their magic numbers: https://www.twilio.com/docs/iam/test-credentials.

With them nothing changes, nothing is charged and nothing calls back; only these numbers have an effect.
"""

from __future__ import annotations

from airflow_provider_twilio.emulator.params import e164
from airflow_provider_twilio.emulator.wire import Refused

VALID = "+15005550006"

_SENDERS = {
    "+15005550001": (21212, "The 'From' number {} is not a valid phone number, shortcode, or alphanumeric sender ID."),
    "+15005550008": (21611, "This 'From' number has exceeded the maximum number of queued messages."),
}
_RECIPIENTS = {
    "+15005550001": (21211, "The 'To' number {} is not a valid phone number."),
    "+15005550002": (21612, "The 'To' phone number: {}, is not currently reachable."),
    "+15005550003": (21408, "Permission to send an SMS has not been enabled for the region indicated by {}."),
    "+15005550004": (21610, "Attempt to send to unsubscribed recipient"),
    "+15005550009": (21614, "'To' number is not a valid mobile number: {}"),
}
_CALLED = {
    "+15005550001": (21217, "Phone number does not appear to be valid: {}"),
    "+15005550002": (21214, "'To' phone number cannot be reached: {}"),
    "+15005550003": (21215, "Account not authorized to call {}."),
    "+15005550004": (21216, "Account not allowed to call {}"),
}
_BOUGHT = {
    "+15005550000": (21422, "{} is not available."),
    "+15005550001": (21421, "PhoneNumber is invalid: {}"),
}


def _refuse(table: dict[str, tuple[int, str]], number: str) -> None:
    if number in table:
        code, text = table[number]
        raise Refused(code, text.format(number))


def sender(number: str | None) -> str:
    """Take a message's From, or refuse it."""
    number = e164(number) or number or ""
    _refuse(_SENDERS, number)
    if number != VALID:
        raise Refused(21606, f"The From phone number {number} is not a valid, SMS-capable inbound phone number.")
    return number


def recipient(number: str) -> None:
    """Refuse a message's To, if it is one of the numbers for that."""
    _refuse(_RECIPIENTS, number)


def caller(number: str) -> None:
    """Refuse a call's From unless it is the valid one."""
    if number == "+15005550001":
        raise Refused(21212, f"The 'From' number {number} is not a valid phone number.")
    if number != VALID:
        raise Refused(21210, f"Source phone number provided, {number}, is not yet verified for your account.")


def called(number: str) -> None:
    """Refuse a call's To, if it is one of the numbers for that."""
    _refuse(_CALLED, number)


def bought(number: str | None, area_code: str | None) -> str:
    """Give the number that is bought, or refuse."""
    if number is not None:
        _refuse(_BOUGHT, number)
        if number != VALID:
            raise Refused(21421, f"PhoneNumber is invalid: {number}")
        return number
    if area_code == "533":
        raise Refused(21452, "No phone numbers found in area code 533")
    if area_code != "500":
        raise Refused(21451, f"Invalid area code: {area_code}")
    return VALID
