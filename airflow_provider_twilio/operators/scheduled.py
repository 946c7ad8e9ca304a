"""The operator that cancels scheduled messages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Unpack

from airflow.sdk.log import mask_secret

from airflow_provider_twilio._airflow import storage
from airflow_provider_twilio._airflow.compat import AirflowFailException
from airflow_provider_twilio.api import checks
from airflow_provider_twilio.api.errors import BadParameter, NotFound
from airflow_provider_twilio.api.messages import Message, Messages
from airflow_provider_twilio.api.values import UNRESOLVED
from airflow_provider_twilio.operators._base.composite import CompositeOperator
from airflow_provider_twilio.operators._base.operation import COLORS

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_twilio._airflow.parameters import OperatorParameters
    from airflow_provider_twilio.client.asynchronous import AsyncClient
    from airflow_provider_twilio.client.settings import Settings

FILTERS = ("messaging_service_sid", "recipients", "created_after", "created_before", "checkpoint_path")


class CancelScheduledMessagesOperator(CompositeOperator, color=COLORS["Messages"]):
    """Cancel messages that Twilio has accepted with ``send_at`` and not sent yet.

    Returns a summary to XCom: the numbers of messages that were ``found`` and ``canceled``, those ``not_scheduled``
    any more, and those that ``failed``. Without ``apply``, the task only reports how many it would cancel.

    .. code-block:: python

        CancelScheduledMessagesOperator(
            task_id="cancel",
            messaging_service_sid="MG0123456789abcdef0123456789abcdef",
            created_after="{{ params.campaign_start }}",
            apply=True,
        )

    Only messages that match all of the parameters are canceled; pass at least one. A message that was sent cannot be
    canceled. The task fails without retry if Twilio rejects a cancellation for another reason, or if checkpoints
    have messages that may have been sent, but whose SIDs are not stored. The other messages are canceled first. A retry
    cancels the messages that are still scheduled.

    Twilio cannot filter an account's messages by status. With neither ``recipients`` nor ``checkpoint_path``,
    the task reads the account's whole list of messages.

    :param messaging_service_sid: Only messages of this messaging service. (templated)
    :param recipients: Only messages to these numbers or addresses, as a list or separated by commas. (templated)
    :param created_after: Only messages that Twilio accepted at or after this time: an aware datetime or ISO 8601. This
        is the time of the request, not ``send_at``, which Twilio does not list. (templated)
    :param created_before: Only messages that Twilio accepted before this time. (templated)
    :param checkpoint_path: Only messages of bulk sends whose checkpoints are in this folder or below: the
        ``checkpoint_path`` of a ``SendMessagesOperator``, or the folder of one of its runs. (templated)
    :param apply: Whether to cancel the messages. By default, they are only counted. (templated)
    :param twilio_conn_id: Airflow connection. (templated)
    :param account_sid: Account to act on, if it is not the connection's own. (templated)

    https://www.twilio.com/docs/messaging/features/message-scheduling#cancel-a-scheduled-message
    """

    def __init__(
        self,
        *,
        messaging_service_sid: str | None = None,
        recipients: Sequence[str] | str | None = None,
        created_after: datetime | str | None = None,
        created_before: datetime | str | None = None,
        checkpoint_path: str | None = None,
        apply: bool | str = False,
        twilio_conn_id: str = "twilio_default",
        account_sid: str | None = None,
        **kwargs: Unpack[OperatorParameters],
    ) -> None:
        super().__init__(twilio_conn_id=twilio_conn_id, account_sid=account_sid, **kwargs)
        self._set_arguments(locals())

    @classmethod
    def _check(cls, values: Mapping[str, Any]) -> None:
        """Check that there is a filter, and that each filter is valid."""
        if all(values[name] is None for name in FILTERS):
            raise BadParameter(
                "messaging_service_sid",
                "is missing, as is every other filter, so that all scheduled messages would be canceled",
                f"pass at least one of {', '.join(FILTERS)}. No message was canceled",
            )
        for name in FILTERS:
            value = values[name]
            if isinstance(value, str | list | tuple) and not (value.strip() if isinstance(value, str) else value):
                raise BadParameter(name, "is empty", "leave it out, or pass a value. No message was canceled")
        if values["messaging_service_sid"] not in (None, UNRESOLVED):
            checks.sid("messaging_service_sid", values["messaging_service_sid"], "MG")
        for name in ("created_after", "created_before"):
            checks.parse_timestamp(name, values[name])
        storage.check_path("checkpoint_path", values["checkpoint_path"])

    def _perform(
        self, context: Context, *, recipients: Any, checkpoint_path: str | None, apply: bool, **filters: Any
    ) -> dict[str, Any]:
        """Find the scheduled messages and, with ``apply``, cancel them."""
        from airflow_provider_twilio.api.recipients import split_recipients

        addresses = None if recipients is None else [_address(entry) for entry in split_recipients(recipients)]
        sids, unknown = (None, 0) if checkpoint_path is None else _sids_in(checkpoint_path)
        selects = partial(
            _selects,
            service=filters["messaging_service_sid"],
            addresses=None if addresses is None else set(addresses),
            after=checks.parse_timestamp("created_after", filters["created_after"]),
            before=checks.parse_timestamp("created_before", filters["created_before"]),
        )
        settings = self.hook.client.settings
        applies = apply and not settings.dry_run
        found, counts = self._run_in_background(_find_and_cancel(settings, sids, addresses, selects, applies))
        summary = {
            "found": found,
            "canceled": counts.get("canceled", 0),
            "not_scheduled": counts.get("not_scheduled", 0),
            "failed": counts.get("failed", 0),
            "applied": applies,
        }
        if found and not apply:
            self.log.info("Canceling nothing: set apply=True to cancel %d scheduled messages", found)
        else:
            self.log.info("Scheduled messages: %s", summary)
        faults = [f"{summary['failed']} of {found} messages were not canceled"] if summary["failed"] else []
        if unknown:
            from airflow_provider_twilio.runtime.bulk.cancel import describe_unknown

            faults.append(describe_unknown(unknown))
        if faults:
            raise AirflowFailException(f"{'. '.join(faults)}. {summary}")
        return summary


def _address(entry: Any) -> str:
    from airflow_provider_twilio.runtime.bulk.rows import normalize_address

    try:
        return normalize_address(entry)
    except BadParameter:
        raise BadParameter(
            "recipients",
            f"has an entry that is not a phone number or address ({checks.describe(entry)})",
            "pass numbers in E.164. No message was canceled",
        ) from None


def _sids_in(checkpoint_path: str) -> tuple[set[str], int]:
    """Return the SIDs in all checkpoints in a folder and below, and how many messages may have been sent without one.

    :raises BadParameter: If there are no checkpoints.
    """
    import json
    import re

    from airflow_provider_twilio.operators._bulk_folder import STORE_KEY
    from airflow_provider_twilio.runtime.bulk.checkpoints import outcomes_in
    from airflow_provider_twilio.runtime.bulk.stored import count_unknown, known_sids

    folder = storage.resolve_path("checkpoint_path", checkpoint_path.strip())
    pattern = re.compile(rf"{STORE_KEY}\.\d+\.\d+\.json")
    files = [name for name in folder.fs.find(folder.path) if pattern.fullmatch(name.rpartition("/")[2])]
    if not files:
        raise BadParameter(
            "checkpoint_path",
            f"has no checkpoints of a send ({checkpoint_path})",
            "correct it, or run the task where the folder is. No message was canceled",
        )
    sids, unknown = set[str](), 0
    for name in files:
        outcomes = outcomes_in(json.loads(folder.fs.cat_file(name)))
        sids.update(known_sids(outcomes))
        unknown += count_unknown(outcomes)
    return sids, unknown


def _selects(
    message: Message,
    *,
    service: str | None,
    addresses: Collection[str] | None,
    after: datetime | None,
    before: datetime | None,
) -> bool:
    """Return whether a message is scheduled and matches the filters."""
    created = message.date_created
    return (
        message.status == "scheduled"
        and service in (None, message.messaging_service_sid)
        and (addresses is None or message.to in addresses)
        and (after is None or (created is not None and created >= after))
        and (before is None or (created is not None and created < before))
    )


async def _find_and_cancel(
    settings: Settings,
    sids: Collection[str] | None,
    addresses: Sequence[str] | None,
    selects: Callable[[Message], bool],
    applies: bool,
) -> tuple[int, Mapping[str, int]]:
    """Find scheduled messages and, if ``applies``, cancel them. Return their number, and the numbers by outcome."""
    from airflow_provider_twilio.client.asynchronous import AsyncClient
    from airflow_provider_twilio.runtime.bulk.cancel import CONCURRENCY, cancel_scheduled

    async with AsyncClient(settings, mask_secret=mask_secret, concurrency=CONCURRENCY) as client:
        if sids is not None:
            found = await _fetch(client, sids, selects)
        else:
            found = [str(message.sid) async for message in _list(client, addresses) if selects(message)]
        return len(found), await cancel_scheduled(client, found) if applies else {}


async def _fetch(client: AsyncClient, sids: Collection[str], selects: Callable[[Message], bool]) -> list[str]:
    """Return those of the SIDs whose messages are selected."""
    from airflow_provider_twilio.runtime.bulk.cancel import CONCURRENCY

    found: list[str] = []
    queue = iter(sids)

    async def work() -> None:
        for sid in queue:
            try:
                message = await client.send(Messages.fetch(sid))
            except NotFound:
                continue
            if selects(message):
                found.append(sid)

    await asyncio.gather(*(work() for _ in range(CONCURRENCY)))
    return found


async def _list(client: AsyncClient, addresses: Sequence[str] | None) -> AsyncIterator[Message]:
    """Yield the messages to each of these addresses, or all messages."""
    for to in dict.fromkeys(addresses) if addresses is not None else (None,):
        async for message in client.iter_records(Messages.list(to=to)):
            yield message
