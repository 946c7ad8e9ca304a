"""The nineteen operations that matter most, each through an operator, the blocking hook and the async client.

On the account itself and, with the same credentials, on a subaccount of it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from airflow_provider_twilio._airflow.compat import AirflowFailException
from airflow_provider_twilio.api.errors import BadParameter, InvalidRequest, NotFound
from airflow_provider_twilio.emulator import Emulator
from airflow_provider_twilio.hooks.twilio import TwilioHook
from airflow_provider_twilio.operators import accounts, calls, messages, phone_numbers
from airflow_provider_twilio.operators._base.operation import TwilioOperator

TO = "+14155550123"
SAY = "<Response><Say>hello</Say></Response>"


@dataclass
class World:
    """What there is on an account before an operation runs."""

    emulator: Emulator
    account_sid: str
    hook: TwilioHook
    number: str
    number_sid: str
    message_sid: str
    call_sid: str
    on_offer: str
    subaccount_sid: str


@dataclass
class Case:
    """One operation: what Twilio calls it, its operator, where the hook and the client have it, and its arguments."""

    name: str
    operator: type[TwilioOperator]
    place: str
    arguments: Callable[[World], dict[str, Any]]
    method: str
    path: str
    check: Callable[[World, Any], bool]
    """What must hold of the record, or list of records."""

    def __str__(self) -> str:
        return self.name


def has(**fields: str) -> Callable[[World, Any], bool]:
    """The record has these values; a value that names something of the world stands for that."""
    return lambda world, record: all(record[key] == getattr(world, value, value) for key, value in fields.items())


def holds(sid: str) -> Callable[[World, Any], bool]:
    return lambda world, records: getattr(world, sid) in [record["sid"] for record in records]


NINETEEN = [
    Case(
        "createMessage", messages.SendMessageOperator, "messages.create",
        lambda world: {"to": TO, "from_": world.number, "body": "hello"},
        "POST", "Messages.json", has(to=TO, account_sid="account_sid"),
    ),
    Case(
        "fetchMessage", messages.FetchMessageOperator, "messages.fetch",
        lambda world: {"message_sid": world.message_sid},
        "GET", "Messages/{message_sid}.json", has(sid="message_sid", account_sid="account_sid"),
    ),
    Case(
        "listMessage", messages.ListMessagesOperator, "messages.list",
        lambda world: {"to": TO},
        "GET", "Messages.json", holds("message_sid"),
    ),
    Case(
        "updateMessage", messages.UpdateMessageOperator, "messages.update",
        lambda world: {"message_sid": world.message_sid, "body": ""},
        "POST", "Messages/{message_sid}.json", has(sid="message_sid", body=""),
    ),
    Case(
        "deleteMessage", messages.DeleteMessageOperator, "messages.delete",
        lambda world: {"message_sid": world.message_sid},
        "DELETE", "Messages/{message_sid}.json", lambda world, answer: answer in (None, world.message_sid),
    ),
    Case(
        "createCall", calls.CreateCallOperator, "calls.create",
        lambda world: {"to": TO, "from_": world.number, "twiml": SAY},
        "POST", "Calls.json", has(to=TO, account_sid="account_sid"),
    ),
    Case(
        "fetchCall", calls.FetchCallOperator, "calls.fetch",
        lambda world: {"call_sid": world.call_sid},
        "GET", "Calls/{call_sid}.json", has(sid="call_sid", account_sid="account_sid"),
    ),
    Case(
        "listCall", calls.ListCallsOperator, "calls.list",
        lambda world: {"to": TO},
        "GET", "Calls.json", holds("call_sid"),
    ),
    Case(
        "updateCall", calls.UpdateCallOperator, "calls.update",
        lambda world: {"call_sid": a_call(world), "status": "completed"},
        "POST", "Calls/CA", has(account_sid="account_sid"),
    ),
    Case(
        "deleteCall", calls.DeleteCallOperator, "calls.delete",
        lambda world: {"call_sid": world.call_sid},
        "DELETE", "Calls/{call_sid}.json", lambda world, answer: answer in (None, world.call_sid),
    ),
    Case(
        "createIncomingPhoneNumber", phone_numbers.PurchaseNumberOperator, "incoming_phone_numbers.create",
        lambda world: {"phone_number": world.on_offer},
        "POST", "IncomingPhoneNumbers.json", has(phone_number="on_offer", account_sid="account_sid"),
    ),
    Case(
        "fetchIncomingPhoneNumber", phone_numbers.FetchNumberOperator, "incoming_phone_numbers.fetch",
        lambda world: {"phone_number_sid": world.number_sid},
        "GET", "IncomingPhoneNumbers/{number_sid}.json", has(phone_number="number", account_sid="account_sid"),
    ),
    Case(
        "listIncomingPhoneNumber", phone_numbers.ListNumbersOperator, "incoming_phone_numbers.list",
        lambda world: {},
        "GET", "IncomingPhoneNumbers.json", holds("number_sid"),
    ),
    Case(
        "deleteIncomingPhoneNumber", phone_numbers.ReleaseNumberOperator, "incoming_phone_numbers.delete",
        lambda world: {"phone_number_sid": world.number_sid},
        "DELETE", "IncomingPhoneNumbers/{number_sid}.json", lambda world, answer: answer in (None, world.number_sid),
    ),
    Case(
        "fetchBalance", accounts.FetchBalanceOperator, "balance.fetch",
        lambda world: {},
        "GET", "Balance.json", has(account_sid="account_sid", currency="USD"),
    ),
    Case(
        "fetchAccount", accounts.FetchAccountOperator, "accounts.fetch",
        lambda world: {},
        "GET", ".json", has(sid="account_sid"),
    ),
    Case(
        "createAccount", accounts.CreateAccountOperator, "accounts.create",
        lambda world: {"friendly_name": "new"},
        "POST", "/2010-04-01/Accounts.json", has(friendly_name="new"),
    ),
    Case(
        "listAccount", accounts.ListAccountsOperator, "accounts.list",
        lambda world: {"status": "active"},
        "GET", "/2010-04-01/Accounts.json", holds("account_sid"),
    ),
    Case(
        "updateAccount", accounts.UpdateAccountOperator, "accounts.update",
        lambda world: {"target_account_sid": world.account_sid, "friendly_name": "renamed"},
        "POST", ".json", has(sid="account_sid", friendly_name="renamed"),
    ),
]  # fmt: skip


def a_call(world: World) -> str:
    """Place a call that goes on for a while."""
    call = world.hook.calls.create(to=TO, from_=world.number, twiml='<Response><Pause length="9000"/></Response>')
    return str(call.sid)


def prepare(emulator: Emulator, subaccount: bool) -> World:
    main = TwilioHook()
    child = str(main.accounts.create(friendly_name="child").sid)
    account_sid = child if subaccount else emulator.account_sid
    hook = TwilioHook(account_sid=account_sid)
    search = hook.available_phone_numbers.list("US", area_code=415, limit=2)
    first, second = (str(number.phone_number) for number in search)
    number = hook.incoming_phone_numbers.create(phone_number=first)
    message = hook.messages.create(to=TO, from_=first, body="hello")
    call = hook.calls.create(to=TO, from_=first, twiml=SAY)
    emulator.clock.advance(600)
    emulator.journal.clear()
    return World(
        emulator,
        account_sid,
        hook,
        first,
        str(number.sid),
        str(message.sid),
        str(call.sid),
        second,
        child,
    )


async def by_operator(case: Case, world: World, arguments: dict[str, Any]) -> Any:
    task = case.operator(task_id="task", account_sid=world.account_sid, **arguments)
    return task.execute({})  # type: ignore[arg-type,typeddict-item,unused-ignore]


async def by_hook(case: Case, world: World, arguments: dict[str, Any]) -> Any:
    resource, verb = case.place.split(".")
    answer = getattr(getattr(TwilioHook(account_sid=world.account_sid), resource), verb)(**arguments)
    return list(answer) if verb == "list" else answer


async def by_async_client(case: Case, world: World, arguments: dict[str, Any]) -> Any:
    resource, verb = case.place.split(".")
    async with TwilioHook(account_sid=world.account_sid).aclient() as client:
        answer = getattr(getattr(client, resource), verb)(**arguments)
        return [record async for record in answer] if verb == "list" else await answer


Door = Callable[[Case, World, dict[str, Any]], Awaitable[Any]]


def test_there_are_nineteen():
    assert len({case.name for case in NINETEEN}) == 19


@pytest.mark.parametrize("door", [by_operator, by_hook, by_async_client])
@pytest.mark.parametrize("subaccount", [False, True], ids=["account", "subaccount"])
@pytest.mark.parametrize("case", NINETEEN, ids=str)
async def test_it_runs(emulator: Emulator, case: Case, subaccount: bool, door: Door):
    world = prepare(emulator, subaccount)
    arguments = case.arguments(world)
    emulator.journal.clear()
    if case.name == "fetchBalance" and subaccount:
        # A subaccount has no balance of its own: Twilio says so, and the operator whose it shares.
        with pytest.raises((NotFound, AirflowFailException), match=r"code 20404|its parent, AC") as caught:
            await door(case, world, arguments)
        assert isinstance(caught.value.__cause__ or caught.value, NotFound | BadParameter)
        return
    answer = await door(case, world, arguments)
    assert case.check(world, answer), answer
    (entry,) = emulator.journal
    path = case.path.format(**vars(world))
    if not path.startswith("/"):
        path = f"/2010-04-01/Accounts/{world.account_sid}{'' if path.startswith('.') else '/'}{path}"
    assert entry.method == case.method
    assert entry.path.startswith(path)
    assert entry.status in (200, 201, 204)


async def test_a_subaccount_sees_nothing_of_the_account(emulator: Emulator):
    """So that the table above shows more than that account_sid is ignored."""
    world = prepare(emulator, subaccount=True)
    assert [message.sid for message in TwilioHook().messages.list()] == []
    assert [message.sid for message in world.hook.messages.list()] == [world.message_sid]
    with pytest.raises(InvalidRequest):
        TwilioHook().messages.create(to=TO, from_=world.number, body="not ours")
