"""Test credentials and their magic numbers.

https://www.twilio.com/docs/iam/test-credentials

A request with test credentials changes nothing, costs nothing and causes no callback. Only these numbers have an
effect.
"""

from __future__ import annotations

from airflow_provider_twilio.emulator.params import e164
from airflow_provider_twilio.emulator.responses import ApiError

VALID_NUMBER = "+15005550006"

_MESSAGE_FROM = {
    "+15005550001": (21212, "The 'From' number {} is not a valid phone number, shortcode, or alphanumeric sender ID."),
    "+15005550008": (21611, "SMS queue is full."),
}
_MESSAGE_TO = {
    "+15005550001": (21211, "The 'To' number {} is not a valid phone number."),
    "+15005550002": (21612, "The 'To' phone number: {}, is not currently reachable."),
    "+15005550003": (21408, "Permission to send an SMS has not been enabled for the region indicated by {}."),
    "+15005550004": (21610, "Attempt to send to unsubscribed recipient"),
    "+15005550009": (21614, "'To' number is not a valid mobile number: {}"),
}
_CALL_TO = {
    "+15005550001": (21217, "Phone number does not appear to be valid: {}"),
    "+15005550002": (21214, "'To' phone number cannot be reached: {}"),
    "+15005550003": (21215, "Account not authorized to call {}."),
    "+15005550004": (21216, "Account not allowed to call {}"),
}
_PURCHASES = {
    "+15005550000": (21422, "{} is not available."),
    "+15005550001": (21421, "PhoneNumber is invalid: {}"),
}


def _check(table: dict[str, tuple[int, str]], number: str) -> None:
    if number in table:
        code, text = table[number]
        raise ApiError(code, text.format(number), 429 if code == 21611 else 400)


def check_message_from(number: str | None) -> str:
    """Return the From number of a message; raise an error if it is not the valid one."""
    number = e164(number) or number or ""
    _check(_MESSAGE_FROM, number)
    if number != VALID_NUMBER:
        raise ApiError(21606, f"The From phone number {number} is not a valid, SMS-capable inbound phone number.")
    return number


def check_message_to(number: str) -> None:
    """Raise an error if the To number of a message is a magic number for one."""
    _check(_MESSAGE_TO, number)


def check_call_from(number: str) -> None:
    """Raise an error if the From number of a call is not the valid one."""
    if number == "+15005550001":
        raise ApiError(21212, f"The 'From' number {number} is not a valid phone number.")
    if number != VALID_NUMBER:
        raise ApiError(21210, f"Source phone number provided, {number}, is not yet verified for your account.")


def check_call_to(number: str) -> None:
    """Raise an error if the To number of a call is a magic number for one."""
    _check(_CALL_TO, number)


def check_purchase(number: str | None, area_code: str | None) -> str:
    """Return the number to purchase.

    :raises ApiError: The number is unknown, or a magic number for an error.
    """
    if number is not None:
        _check(_PURCHASES, number)
        if number != VALID_NUMBER:
            raise ApiError(21421, f"PhoneNumber is invalid: {number}")
        return number
    if area_code == "533":
        raise ApiError(21452, "No phone numbers found in area code 533")
    if area_code != "500":
        raise ApiError(21451, f"Invalid area code: {area_code}")
    return VALID_NUMBER
