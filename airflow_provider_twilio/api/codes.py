"""Twilio's error codes, as far as this package acts on them or explains them, in our own words.

Twilio's pages: https://www.twilio.com/docs/api/errors
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
"""The recipient said STOP to this sender."""

RETRY_LATER = frozenset({NOT_COMPLETE, QUEUE_FULL, 22005})
"""Refused now, taken later: not complete yet, the sender's queue full, the call queue full."""

PERMISSION = frozenset({10001, 20005, 20006, 20008, 21215, 21408, 21476, 21478})
"""What the account, its settings or its credentials don't allow."""

ALREADY_FINAL = frozenset({NOT_IN_PROGRESS, NOT_CANCELABLE})
"""What is to be ended has ended already, perhaps by the very request that is refused now."""

GEO_PERMISSIONS = frozenset({21215, 21408})
"""Permissions that depend on where the recipient is."""

ACCOUNT_WIDE = frozenset({10001, 20003, 20005, 20006, 20008, 21476, 21478, DAILY_CAP, 90010})
"""What befalls every request of the account, whoever the recipient is."""

RESENDABLE = frozenset({30001, 30003, 30008, 30022, 30036, 30410, 30500})
"""Failures found after the create, where sending again can help. Twilio may change their meaning: overridable."""

MEANINGS: dict[int, str] = {
    10001: "the account is not active",
    20003: "the credentials are wrong, or may not do this",
    20005: "the account is not active",
    20006: "access denied",
    20008: "test credentials can't do this",
    20009: "it is not complete yet",
    20404: "there is no such resource",
    20429: "too many requests at once",
    20500: "an internal error at Twilio",
    20503: "Twilio is temporarily unavailable",
    21210: "the caller id is not a number of the account, nor verified",
    21211: "the recipient is not a valid phone number",
    21212: "the sender is not a valid phone number",
    21214: "the number can't be reached",
    21215: "calls to this region are not switched on for the account",
    21216: "calls to this number are blocked",
    21217: "the number to call is not valid",
    21219: "a trial account can call verified numbers only",
    21220: "the call is not in progress",
    21408: "messages to this region are not switched on for the account",
    21421: "the number is not valid",
    21422: "the number is not available",
    21452: "there is no number in this area code",
    21476: "the parent account is suspended",
    21478: "Twilio has suspended the account",
    21602: "the message has no body",
    21603: "the message has no sender",
    21604: "the message has no recipient",
    21606: "the sender is not a number of the account that can send messages",
    21608: "a trial account can send to verified numbers only",
    21610: "the recipient has opted out of messages from this sender",
    21611: "the sender's queue is full",
    21612: "this sender can't reach this recipient",
    21614: "the recipient is not a mobile number",
    21617: "the body is longer than 1600 characters",
    21635: "the recipient is a landline",
    21703: "the messaging service has no sender",
    30001: "the sender's queue overflowed",
    30002: "the account was suspended between sending and delivery",
    30003: "the handset can't be reached: off, out of range, or not able to receive",
    30004: "the recipient or their carrier blocks the message",
    30005: "the number is unknown or no longer in use",
    30006: "the number is a landline, or its carrier can't be reached",
    30007: "the carrier or Twilio filtered the message as unwanted",
    30008: "the carrier gave no reason",
    30022: "the 10DLC rate limit was passed",
    30023: "the 10DLC daily cap was reached",
    30024: "the numeric sender is not provisioned with the carrier",
    30027: "the carrier's daily cap for this brand was reached",
    30034: "the US number is not registered for 10DLC",
    30036: "the message's validity period ran out",
    30409: "the message can no longer be canceled",
    30410: "the provider did not answer in time",
    30450: "messages to this recipient are blocked for a while",
    30453: "the message could not be delivered",
    30500: "an internal error at Twilio",
    63003: "the recipient is not reachable on this channel",
    63007: "there is no such sender on this channel",
    63013: "the message breaks the channel's policy",
    63015: "the recipient has not joined the sandbox",
    63016: "outside the 24 hours after the user's last message WhatsApp takes templates only",
    63017: "the channel's rate limit was passed",
    63018: "the channel's rate limit was passed",
    63024: "the recipient is not valid on this channel",
    63032: "the channel limits messages to this user",
    63038: "the account's daily cap of messages is reached",
    63049: "Meta chose not to deliver this marketing message",
}


def page(code: int) -> str:
    """Give the address of Twilio's page on an error code."""
    return f"https://www.twilio.com/docs/api/errors/{code}"


def explain(code: int, resendable_codes: frozenset[int] = RESENDABLE) -> str:
    """Tell what a failure's code means, whether sending again can help, and where Twilio explains it."""
    meaning = MEANINGS.get(code, "a failure that Twilio explains on its page")
    helps = "sending again can help" if code in resendable_codes else "sending again does not help"
    return f"error {code}: {meaning}; {helps}. See {page(code)}"
