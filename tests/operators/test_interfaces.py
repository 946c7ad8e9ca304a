"""The 19 most important operations, each through its operator, the blocking hook and the async client.

Each runs on the account of the connection and, with the same credentials, on a subaccount.
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
class Resources:
    """An account's resources before an operation runs."""

    emulator: Emulator
    account_sid: str
    hook: TwilioHook
    number: str
    number_sid: str
    message_sid: str
    call_sid: str
    available_number: str
    subaccount_sid: str


@dataclass
class Case:
    """An operation and its expected request.

    :param name: Twilio's name of the operation.
    :param operator: The operator that runs it.
    :param method_path: The resource and the method of the hook and the client, such as ``messages.create``.
    :param arguments: Returns the arguments of the operation.
    :param method: The expected HTTP method.
    :param path: The beginning of the expected path.
    :param check: Returns whether the record, or the list of records, is the expected one.
    """

    name: str
    operator: type[TwilioOperator]
    method_path: str
    arguments: Callable[[Resources], dict[str, Any]]
    method: str
    path: str
    check: Callable[[Resources, Any], bool]

    def __str__(self) -> str:
        return self.name


def has(**fields: str) -> Callable[[Resources, Any], bool]:
    """Return a check of a record's values. The name of an attribute of :class:`Resources` stands for its value."""
    return lambda account, record: all(record[key] == getattr(account, value, value) for key, value in fields.items())


def contains(sid: str) -> Callable[[Resources, Any], bool]:
    """Return a check that a list contains the record whose SID this attribute of :class:`Resources` holds."""
    return lambda account, records: getattr(account, sid) in [record["sid"] for record in records]


CASES = [
    Case(
        "createMessage", messages.SendMessageOperator, "messages.create",
        lambda account: {"to": TO, "from_": account.number, "body": "hello"},
        "POST", "Messages.json", has(to=TO, account_sid="account_sid"),
    ),
    Case(
        "fetchMessage", messages.FetchMessageOperator, "messages.fetch",
        lambda account: {"message_sid": account.message_sid},
        "GET", "Messages/{message_sid}.json", has(sid="message_sid", account_sid="account_sid"),
    ),
    Case(
        "listMessage", messages.ListMessagesOperator, "messages.list",
        lambda account: {"to": TO},
        "GET", "Messages.json", contains("message_sid"),
    ),
    Case(
        "updateMessage", messages.UpdateMessageOperator, "messages.update",
        lambda account: {"message_sid": account.message_sid, "body": ""},
        "POST", "Messages/{message_sid}.json", has(sid="message_sid", body=""),
    ),
    Case(
        "deleteMessage", messages.DeleteMessageOperator, "messages.delete",
        lambda account: {"message_sid": account.message_sid},
        "DELETE", "Messages/{message_sid}.json", lambda account, result: result in (None, account.message_sid),
    ),
    Case(
        "createCall", calls.CreateCallOperator, "calls.create",
        lambda account: {"to": TO, "from_": account.number, "twiml": SAY},
        "POST", "Calls.json", has(to=TO, account_sid="account_sid"),
    ),
    Case(
        "fetchCall", calls.FetchCallOperator, "calls.fetch",
        lambda account: {"call_sid": account.call_sid},
        "GET", "Calls/{call_sid}.json", has(sid="call_sid", account_sid="account_sid"),
    ),
    Case(
        "listCall", calls.ListCallsOperator, "calls.list",
        lambda account: {"to": TO},
        "GET", "Calls.json", contains("call_sid"),
    ),
    Case(
        "updateCall", calls.UpdateCallOperator, "calls.update",
        lambda account: {"call_sid": start_long_call(account), "status": "completed"},
        "POST", "Calls/CA", has(account_sid="account_sid"),
    ),
    Case(
        "deleteCall", calls.DeleteCallOperator, "calls.delete",
        lambda account: {"call_sid": account.call_sid},
        "DELETE", "Calls/{call_sid}.json", lambda account, result: result in (None, account.call_sid),
    ),
    Case(
        "createIncomingPhoneNumber", phone_numbers.PurchaseNumberOperator, "incoming_phone_numbers.create",
        lambda account: {"phone_number": account.available_number},
        "POST", "IncomingPhoneNumbers.json", has(phone_number="available_number", account_sid="account_sid"),
    ),
    Case(
        "fetchIncomingPhoneNumber", phone_numbers.FetchNumberOperator, "incoming_phone_numbers.fetch",
        lambda account: {"phone_number_sid": account.number_sid},
        "GET", "IncomingPhoneNumbers/{number_sid}.json", has(phone_number="number", account_sid="account_sid"),
    ),
    Case(
        "listIncomingPhoneNumber", phone_numbers.ListNumbersOperator, "incoming_phone_numbers.list",
        lambda account: {},
        "GET", "IncomingPhoneNumbers.json", contains("number_sid"),
    ),
    Case(
        "deleteIncomingPhoneNumber", phone_numbers.ReleaseNumberOperator, "incoming_phone_numbers.delete",
        lambda account: {"phone_number_sid": account.number_sid},
        "DELETE", "IncomingPhoneNumbers/{number_sid}.json",
        lambda account, result: result in (None, account.number_sid),
    ),
    Case(
        "fetchBalance", accounts.FetchBalanceOperator, "balance.fetch",
        lambda account: {},
        "GET", "Balance.json", has(account_sid="account_sid", currency="USD"),
    ),
    Case(
        "fetchAccount", accounts.FetchAccountOperator, "accounts.fetch",
        lambda account: {},
        "GET", ".json", has(sid="account_sid"),
    ),
    Case(
        "createAccount", accounts.CreateAccountOperator, "accounts.create",
        lambda account: {"friendly_name": "new"},
        "POST", "/2010-04-01/Accounts.json", has(friendly_name="new"),
    ),
    Case(
        "listAccount", accounts.ListAccountsOperator, "accounts.list",
        lambda account: {"status": "active"},
        "GET", "/2010-04-01/Accounts.json", contains("account_sid"),
    ),
    Case(
        "updateAccount", accounts.UpdateAccountOperator, "accounts.update",
        lambda account: {"target_account_sid": account.account_sid, "friendly_name": "renamed"},
        "POST", ".json", has(sid="account_sid", friendly_name="renamed"),
    ),
]  # fmt: skip


def start_long_call(account: Resources) -> str:
    """Place a call that stays in progress for a while."""
    call = account.hook.calls.create(to=TO, from_=account.number, twiml='<Response><Pause length="9000"/></Response>')
    return str(call.sid)


def create_resources(emulator: Emulator, subaccount: bool) -> Resources:
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
    return Resources(
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


async def by_operator(case: Case, account: Resources, arguments: dict[str, Any]) -> Any:
    task = case.operator(task_id="task", account_sid=account.account_sid, **arguments)
    return task.execute({})  # type: ignore[arg-type,typeddict-item,unused-ignore]


async def by_hook(case: Case, account: Resources, arguments: dict[str, Any]) -> Any:
    resource, verb = case.method_path.split(".")
    result = getattr(getattr(TwilioHook(account_sid=account.account_sid), resource), verb)(**arguments)
    return list(result) if verb == "list" else result


async def by_async_client(case: Case, account: Resources, arguments: dict[str, Any]) -> Any:
    resource, verb = case.method_path.split(".")
    async with TwilioHook(account_sid=account.account_sid).aclient() as client:
        result = getattr(getattr(client, resource), verb)(**arguments)
        return [record async for record in result] if verb == "list" else await result


Interface = Callable[[Case, Resources, dict[str, Any]], Awaitable[Any]]


def test_cases_cover_nineteen_operations():
    assert len({case.name for case in CASES}) == 19


@pytest.mark.parametrize("interface", [by_operator, by_hook, by_async_client])
@pytest.mark.parametrize("subaccount", [False, True], ids=["account", "subaccount"])
@pytest.mark.parametrize("case", CASES, ids=str)
async def test_operation_runs_through_interface(emulator: Emulator, case: Case, subaccount: bool, interface: Interface):
    account = create_resources(emulator, subaccount)
    arguments = case.arguments(account)
    emulator.journal.clear()
    if case.name == "fetchBalance" and subaccount:
        # A subaccount shares the balance of its parent. Twilio reports no balance; the operator names the parent.
        with pytest.raises((NotFound, AirflowFailException), match=r"code 20404|its parent, AC") as caught:
            await interface(case, account, arguments)
        assert isinstance(caught.value.__cause__ or caught.value, NotFound | BadParameter)
        return
    result = await interface(case, account, arguments)
    assert case.check(account, result), result
    (entry,) = emulator.journal
    path = case.path.format(**vars(account))
    if not path.startswith("/"):
        path = f"/2010-04-01/Accounts/{account.account_sid}{'' if path.startswith('.') else '/'}{path}"
    assert entry.method == case.method
    assert entry.path.startswith(path)
    assert entry.status in (200, 201, 204)


async def test_interfaces_keep_account_and_subaccount_separate(emulator: Emulator):
    """Without this check, the other tests would pass even if account_sid was ignored."""
    account = create_resources(emulator, subaccount=True)
    assert [message.sid for message in TwilioHook().messages.list()] == []
    assert [message.sid for message in account.hook.messages.list()] == [account.message_sid]
    with pytest.raises(InvalidRequest):
        TwilioHook().messages.create(to=TO, from_=account.number, body="wrong account")
