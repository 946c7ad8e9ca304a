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

CAPS = frozenset({DAILY_CAP, 60202, 60203})
"""Limits that last for minutes to a day, so that a rejection with 429 must not be retried soon."""

OPTED_OUT = frozenset({21610})
"""The recipient has replied STOP to this sender."""

RETRY_LATER = frozenset({NOT_COMPLETE, QUEUE_FULL, 10004, 21730, 22005, 30035, 30114, 63017, 63018, 63041})
"""Rejected for now, accepted later, such as a resource not complete or a queue overflow."""

PERMISSION = frozenset({10001, 20005, 20006, 20008, 21215, 21408, 21476, 21478, 70051})
"""Not permitted by the account, its settings or its credentials."""

ALREADY_FINAL = frozenset({NOT_IN_PROGRESS, NOT_CANCELABLE})
"""The call or message to end has already ended, perhaps by an earlier try of the rejected request."""

GEO_PERMISSIONS = frozenset({21215, 21408})
"""Geographic permissions: they depend on the recipient's country."""

ACCOUNT_WIDE = frozenset({10001, 20003, 20005, 20006, 20008, 21476, 21478, DAILY_CAP, 90010})
"""Errors that affect every request of the account, whatever its recipient."""

SENDER_WIDE = frozenset({21210, 21212, 21606, 21659, 21660, 21701, 21702, 21704, 21705, 30032, 63007, 63020, 63051})
"""Errors that affect every request of the sender, whatever its recipient: a number, messaging service or channel."""

RESENDABLE = frozenset(
    {30001, 30003, 30008, 30017, 30020, 30021, 30022, 30035, 30036, 30047, 30410, 30450, 30500}
    | {63009, 63010, 63012, 63017, 63018, 63019, 63041}
)
"""Delivery failures for which resending can help. Overridable, since Twilio may change their meaning."""

RESEND_WHEN: dict[int, str] = {
    30017: "when the carrier's congestion is over",
    30023: "after midnight, US Pacific time",
    30027: "after midnight, US Pacific time",
    30035: "when the number has been set up",
    30450: "after 30 minutes, if the message is genuine",
    60202: "10 minutes after the first check",
    60203: "10 minutes after the first send",
    63017: "at a lower rate",
    63018: "at a lower rate",
    63019: "once",
    63038: "when the cap's 24 hours are over",
    63041: "when Meta has resumed the template",
}
"""When resending can help, where not at once."""

REMEDIES: dict[int, str] = {
    20009: "Wait until the resource is complete, then send the request again",
    20409: "Read the existing resource: the request conflicts with it",
    21712: "Remove the number from its messaging service first",
    70051: "Add the permission that the message names to the restricted API key",
}
"""What to do about an error whose message does not say so."""

MEANINGS: dict[int, str] = {
    10001: "the account is not active",
    10004: "the account's limit of concurrent calls was reached",
    20001: "a parameter is invalid",
    20003: "the credentials are invalid, or lack the permission",
    20005: "the account is not active",
    20006: "access denied",
    20008: "test credentials cannot access this resource",
    20009: "the resource is not complete yet",
    20404: "the resource was not found",
    20409: "the request conflicts with a resource that exists, such as an active execution for this contact",
    20422: "a parameter is invalid",
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
    21401: "the sender is not a valid phone number",
    21404: "trial accounts cannot do this",
    21408: "messages to this region are not enabled for the account",
    21421: "the number is not valid",
    21422: "the number is not available",
    21451: "the area code is not valid",
    21452: "no number is available in this area code",
    21474: "only the parent account can transfer a number",
    21475: "the account status is not valid",
    21476: "the parent account is suspended",
    21477: "the status of the parent account cannot be changed",
    21478: "Twilio has suspended the account",
    21479: "the subaccount is closed and cannot be reopened",
    21480: "the account has the maximum number of subaccounts",
    21602: "the message has no body",
    21603: "the message has no sender",
    21604: "the message has no recipient",
    21606: "the sender is not an SMS-capable number of the account",
    21608: "trial accounts can send to verified numbers only",
    21610: "the recipient has opted out of messages from this sender",
    21611: "the sender's message queue is full",
    21612: "this sender cannot reach this recipient",
    21613: "the number requires a certification",
    21614: "the recipient is not a mobile number",
    21617: "the body is longer than 1600 characters",
    21631: "the number requires an address",
    21635: "the recipient is a landline",
    21649: "the number requires a regulatory bundle",
    21656: "the content variables are invalid",
    21659: "the sender is not a number of Twilio, or a short code of another country",
    21660: "the sender belongs to another account",
    21701: "the messaging service does not exist",
    21702: "the messaging service cannot send now",
    21703: "no sender of the messaging service fits this recipient or media",
    21704: "the messaging service has no sender",
    21705: "the messaging service's SID is invalid",
    21710: "the number is already in this messaging service",
    21711: "the number is not in this messaging service",
    21712: "the number is in another messaging service",
    21730: "the service is under maintenance",
    22005: "the call waited in the queue for more than 24 hours",
    30001: "the sender's message queue overflowed",
    30002: "the account was suspended between sending and delivery",
    30003: "the handset is unreachable: off, out of range, or unable to receive",
    30004: "the recipient or their carrier blocks the message",
    30005: "the number is unknown or no longer in use",
    30006: "the number is a landline, or its carrier is unreachable",
    30007: "the carrier or Twilio filtered the message",
    30008: "unknown error; the carrier gave no reason",
    30011: "the recipient's network does not support MMS",
    30017: "the carrier's network is congested",
    30018: "the sender is not registered with the carrier",
    30019: "the media is too large for the carrier",
    30020: "internal error at Twilio",
    30021: "internal error at Twilio",
    30022: "the 10DLC rate limit was exceeded",
    30023: "the 10DLC daily cap was reached",
    30024: "the numeric sender is not provisioned with the carrier",
    30027: "the carrier's daily cap for this brand was reached",
    30029: "the content retention is not valid, or the account lacks Message Redaction",
    30032: "the toll-free number is not verified",
    30033: "the 10DLC campaign is suspended",
    30034: "the US number is not registered for 10DLC",
    30035: "the number is still being set up for 10DLC",
    30036: "the message's validity period expired",
    30047: "the message was held for quiet hours and not sent",
    30113: "the date is too long ago",
    30114: "the data of this day is not available yet",
    30400: "a message cannot be canceled and redacted in one request",
    30409: "the message can no longer be canceled",
    30410: "the provider timed out",
    30450: "messages to this recipient are blocked for 15 to 30 minutes, as suspected SMS pumping",
    30453: "the message could not be delivered",
    30500: "internal error at Twilio",
    30610: "the compliance toolkit blocked the message in quiet hours",
    30649: "messages to this high-risk country are not enabled",
    60200: "a parameter is invalid",
    60202: "the maximum number of checks of this verification was reached",
    60203: "the maximum number of sends of this verification was reached",
    60212: "too many concurrent verifications of this number",
    60410: "verifications to this number are temporarily blocked by Fraud Guard",
    63003: "the recipient is not reachable on this channel",
    63005: "the channel did not accept the content",
    63006: "the channel could not format the content",
    63007: "the sender was not found on this channel",
    63009: "the channel's provider returned an error",
    63010: "internal error at Twilio",
    63012: "internal error at the channel's provider",
    63013: "the message violates the channel's policy",
    63014: "the user blocked the message",
    63015: "the recipient has not joined the sandbox",
    63016: "more than 24 hours after the user's last message, WhatsApp accepts only templates",
    63017: "the channel's rate limit was exceeded",
    63018: "the channel's rate limit was exceeded",
    63019: "the media could not be downloaded",
    63020: "the channel's business account has an error",
    63021: "the content of the template is invalid",
    63024: "the recipient is not valid on this channel",
    63027: "the template does not exist in this language",
    63028: "the number of template parameters does not match",
    63030: "a template parameter is not supported",
    63032: "Meta excludes this user from messages, for an experiment",
    63034: "the media of the template is too large",
    63036: "the recipient is not reachable by RCS",
    63038: "the account's daily message cap was reached",
    63040: "Meta rejected the template",
    63041: "Meta paused the template",
    63042: "Meta disabled the template permanently",
    63043: "the sample media of the template could not be read",
    63044: "the sample media of the template could not be read",
    63045: "the sample media of the template could not be read",
    63046: "the sample media of the template was accepted",
    63047: "the sample media of the template could not be read",
    63049: "Meta chose not to deliver this marketing message",
    63051: "the WhatsApp business account is locked",
    70051: "the restricted API key lacks a permission",
    81022: "the Studio flow is invalid",
}


def page(code: int) -> str:
    """Return the URL of Twilio's page on an error code."""
    return f"https://www.twilio.com/docs/api/errors/{code}"


def explain(code: int, resendable_codes: frozenset[int] = RESENDABLE) -> str:
    """Return what an error code means, whether resending can help, and the URL of its page.

    :param resendable_codes: Codes for which resending can help.
    """
    meaning = MEANINGS.get(code, "a failure that Twilio's page explains")
    when = f" {RESEND_WHEN[code]}" if code in RESEND_WHEN else ""
    if code in resendable_codes:
        advice = f"resending can help{when}"
    else:
        advice = f"resending can help only{when}" if when and code not in RESENDABLE else "resending does not help"
    return f"error {code}: {meaning}; {advice}. See {page(code)}"
