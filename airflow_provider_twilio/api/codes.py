"""Twilio's error codes that this package handles or explains.

Twilio's reference: https://www.twilio.com/docs/api/errors
"""

from __future__ import annotations

TOO_MANY_REQUESTS = 20429
NOT_COMPLETE = 20009
NOT_IN_PROGRESS = 21220
NUMBER_TAKEN = 21422
QUEUE_FULL = 21611
NOT_CANCELABLE = 30409
DAILY_CAP = 63038

OPTED_OUT = frozenset({21610})
"""The recipient has replied STOP to this sender."""

RETRY_LATER = frozenset({NOT_COMPLETE, QUEUE_FULL, 22005})
"""Rejected for now, accepted later: resource not complete, message queue overflow, call queue full."""

PERMISSION = frozenset({10001, 20005, 20006, 20008, 21215, 21408, 21476, 21478})
"""Not permitted by the account, its settings or its credentials."""

ALREADY_FINAL = frozenset({NOT_IN_PROGRESS, NOT_CANCELABLE})
"""The call or message to end has already ended, perhaps by an earlier try of the rejected request."""

GEO_PERMISSIONS = frozenset({21215, 21408})
"""Geographic permissions: they depend on the recipient's country."""

ACCOUNT_WIDE = frozenset({10001, 20003, 20005, 20006, 20008, 21476, 21478, DAILY_CAP, 90010})
"""Errors that affect every request of the account, whatever its recipient."""

SENDER_WIDE = frozenset({21210, 21212, 21606, 21659, 21660, 21701, 21702, 21704, 21705, 30032, 63007, 63020, 63051})
"""Errors that affect every request of the sender, whatever its recipient: a number, messaging service or channel."""

RESENDABLE = frozenset({30001, 30003, 30008, 30022, 30036, 30410, 30500})
"""Delivery failures for which resending can help. Overridable, since Twilio may change their meaning."""

MEANINGS: dict[int, str] = {
    10001: "the account is not active",
    20003: "the credentials are invalid, or lack the permission",
    20005: "the account is not active",
    20006: "access denied",
    20008: "test credentials cannot access this resource",
    20009: "the resource is not complete yet",
    20404: "the resource was not found",
    20429: "too many requests",
    20500: "internal error at Twilio",
    20503: "Twilio is temporarily unavailable",
    21210: "the caller ID is neither a number of the account nor a verified one",
    21211: "the recipient is not a valid phone number",
    21212: "the sender is not a valid phone number",
    21214: "the number cannot be reached",
    21215: "calls to this region are not enabled for the account",
    21216: "calls to this number are blocked",
    21217: "the number to call is not valid",
    21219: "trial accounts can call verified numbers only",
    21220: "the call is not in progress",
    21408: "messages to this region are not enabled for the account",
    21421: "the number is not valid",
    21422: "the number is not available",
    21452: "no number is available in this area code",
    21476: "the parent account is suspended",
    21478: "Twilio has suspended the account",
    21602: "the message has no body",
    21603: "the message has no sender",
    21604: "the message has no recipient",
    21606: "the sender is not an SMS-capable number of the account",
    21608: "trial accounts can send to verified numbers only",
    21610: "the recipient has opted out of messages from this sender",
    21611: "the sender's message queue is full",
    21612: "this sender cannot reach this recipient",
    21614: "the recipient is not a mobile number",
    21617: "the body is longer than 1600 characters",
    21635: "the recipient is a landline",
    21703: "the messaging service has no sender",
    30001: "the sender's message queue overflowed",
    30002: "the account was suspended between sending and delivery",
    30003: "the handset is unreachable: off, out of range, or unable to receive",
    30004: "the recipient or their carrier blocks the message",
    30005: "the number is unknown or no longer in use",
    30006: "the number is a landline, or its carrier is unreachable",
    30007: "the carrier or Twilio filtered the message",
    30008: "unknown error; the carrier gave no reason",
    30022: "the 10DLC rate limit was exceeded",
    30023: "the 10DLC daily cap was reached",
    30024: "the numeric sender is not provisioned with the carrier",
    30027: "the carrier's daily cap for this brand was reached",
    30034: "the US number is not registered for 10DLC",
    30036: "the message's validity period expired",
    30409: "the message can no longer be canceled",
    30410: "the provider timed out",
    30450: "messages to this recipient are temporarily blocked",
    30453: "the message could not be delivered",
    30500: "internal error at Twilio",
    63003: "the recipient is not reachable on this channel",
    63007: "the sender was not found on this channel",
    63013: "the message violates the channel's policy",
    63015: "the recipient has not joined the sandbox",
    63016: "more than 24 hours after the user's last message, WhatsApp accepts only templates",
    63017: "the channel's rate limit was exceeded",
    63018: "the channel's rate limit was exceeded",
    63024: "the recipient is not valid on this channel",
    63032: "the channel limits messages to this user",
    63038: "the account's daily message cap was reached",
    63049: "Meta chose not to deliver this marketing message",
}


def page(code: int) -> str:
    """Return the URL of Twilio's page on an error code."""
    return f"https://www.twilio.com/docs/api/errors/{code}"


def explain(code: int, resendable_codes: frozenset[int] = RESENDABLE) -> str:
    """Return what an error code means, whether resending can help, and the URL of its page.

    :param resendable_codes: Codes for which resending can help.
    """
    meaning = MEANINGS.get(code, "a failure that Twilio's page explains")
    advice = "resending can help" if code in resendable_codes else "resending does not help"
    return f"error {code}: {meaning}; {advice}. See {page(code)}"
