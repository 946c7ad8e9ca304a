from __future__ import annotations

import pytest
import requests

from airflow_provider_twilio.emulator import Emulator
from tests.emulator.conftest import Api


@pytest.mark.parametrize("secret", ["wrong", "", "é"])
def test_authenticate_rejects_wrong_secret(emulator: Emulator, secret: str) -> None:
    assert Api(emulator, (emulator.account_sid, secret)).error("GET", "Messages.json") == (401, 20003)
    assert Api(emulator, ("SK" + "0" * 32, secret)).error("GET", "Messages.json") == (401, 20003)


@pytest.mark.parametrize("header", [None, "", "Basic", "Basic !!!", "Basic /////w==", "Digest x", "Bearer nothing"])
def test_authenticate_rejects_missing_or_malformed_header(emulator: Emulator, header: str | None) -> None:
    url = f"{emulator.url}/2010-04-01/Accounts/{emulator.account_sid}/Messages.json"
    response = requests.get(url, headers={} if header is None else {"Authorization": header}, timeout=5)
    assert (response.status_code, response.json()["code"]) == (401, 20003)


def test_api_keys_have_their_permissions(emulator: Emulator) -> None:
    main, standard = Api(emulator, emulator.main_key), Api(emulator, emulator.standard_key)
    restricted = Api(emulator, emulator.restricted_key)
    assert main.get("/2010-04-01/Accounts.json")["accounts"]
    assert standard.send()["status"] == "queued"
    assert standard.error("GET", "/2010-04-01/Accounts.json") == (401, 20003)
    assert standard.error("GET", f"/2010-04-01/Accounts/{emulator.account_sid}.json") == (401, 20003)
    assert restricted.error("GET", "Messages.json") == (403, 20003)


def test_oauth_token_is_issued_and_expires(emulator: Emulator) -> None:
    form = {
        "grant_type": "client_credentials",
        "client_id": emulator.oauth_client[0],
        "client_secret": emulator.oauth_client[1],
    }
    url = f"{emulator.url}/oauth.twilio.com/v2/token"
    token = requests.post(url, data=form, timeout=5).json()
    assert (token["token_type"], token["expires_in"]) == ("Bearer", 3600)
    bearer = {"Authorization": f"Bearer {token['access_token']}"}
    messages = f"{emulator.url}/2010-04-01/Accounts/{emulator.account_sid}/Messages.json"
    assert requests.get(messages, headers=bearer, timeout=5).status_code == 200
    emulator.clock.advance(3601)
    assert requests.get(messages, headers=bearer, timeout=5).status_code == 401
    assert requests.post(url, data=form | {"client_secret": "no"}, timeout=5).status_code == 401
    assert requests.post(url, data=form | {"grant_type": "password"}, timeout=5).json()["code"] == 20001


@pytest.fixture
def sub(emulator: Emulator, api: Api) -> Api:
    account = api.post("/2010-04-01/Accounts.json", FriendlyName="shop")
    return Api(emulator, (account["sid"], account["auth_token"]), account["sid"])


def test_parent_account_reaches_subaccount_but_not_vice_versa(emulator: Emulator, api: Api, sub: Api) -> None:
    parent = Api(emulator, (emulator.account_sid, emulator.auth_token), sub.account_sid)
    assert parent.get("Messages.json")["messages"] == []
    assert sub.get("Messages.json")["messages"] == []
    assert sub.error("GET", f"/2010-04-01/Accounts/{emulator.account_sid}/Messages.json") == (401, 20003)
    form = {"To": "+14155550100", "From": emulator.phone_number, "Body": "x"}
    assert sub.error("POST", "Messages.json", form) == (400, 21659)
    assert sub.error("POST", "/2010-04-01/Accounts.json", {}) == (400, 21101)
    assert sub.error("GET", "Balance.json") == (404, 20404)


def test_account_is_suspended_and_closed(emulator: Emulator, api: Api, sub: Api) -> None:
    own = f"/2010-04-01/Accounts/{sub.account_sid}.json"
    assert api.error("POST", own, {"Status": "asleep"}) == (400, 21475)
    assert sub.error("POST", own, {"Status": "suspended"}) == (400, 21477)
    assert api.post(own, Status="suspended")["status"] == "suspended"
    assert sub.error("GET", "Messages.json") == (403, 20005)
    assert api.post(own, Status="active")["status"] == "active"
    assert sub.get("Messages.json")["messages"] == []
    assert api.post(own, Status="closed")["status"] == "closed"
    assert sub.error("GET", "Messages.json") == (401, 20003)
    assert api.error("POST", own, {"Status": "active"}) == (400, 21479)
    main = f"/2010-04-01/Accounts/{emulator.account_sid}.json"
    assert api.error("POST", main, {"Status": "suspended"}) == (400, 21477)
    assert api.get("/2010-04-01/Accounts.json", Status="closed")["accounts"][0]["sid"] == sub.account_sid
    emulator.clock.advance(days=31)
    assert api.error("GET", own) == (404, 20404)


def test_list_accounts_filters_by_name(api: Api, sub: Api) -> None:
    named = api.get("/2010-04-01/Accounts.json", FriendlyName="shop")["accounts"]
    assert [account["sid"] for account in named] == [sub.account_sid]
    assert api.get("/2010-04-01/Accounts.json", FriendlyName="sho")["accounts"] == []


@pytest.mark.parametrize(
    ("path", "form", "code"),
    [
        ("Messages", {"From": "+15005550001"}, 21212),
        ("Messages", {"From": "+15005550007"}, 21606),
        ("Messages", {"From": "+15005550008"}, 21611),
        ("Messages", {"From": "+14155550100"}, 21606),
        ("Messages", {"To": "+15005550001"}, 21211),
        ("Messages", {"To": "+15005550002"}, 21612),
        ("Messages", {"To": "+15005550003"}, 21408),
        ("Messages", {"To": "+15005550004"}, 21610),
        ("Messages", {"To": "+15005550009"}, 21614),
        ("Messages", {}, 0),
        ("Calls", {"From": "+15005550001"}, 21212),
        ("Calls", {"From": "+14155550100"}, 21210),
        ("Calls", {"To": "+15005550001"}, 21217),
        ("Calls", {"To": "+15005550002"}, 21214),
        ("Calls", {"To": "+15005550003"}, 21215),
        ("Calls", {"To": "+15005550004"}, 21216),
        ("Calls", {}, 0),
        ("IncomingPhoneNumbers", {"PhoneNumber": "+15005550000"}, 21422),
        ("IncomingPhoneNumbers", {"PhoneNumber": "+15005550001"}, 21421),
        ("IncomingPhoneNumbers", {"PhoneNumber": "+15005550006"}, 0),
        ("IncomingPhoneNumbers", {"AreaCode": "533"}, 21452),
        ("IncomingPhoneNumbers", {"AreaCode": "500"}, 0),
    ],
)
def test_credentials_for_tests_follow_magic_numbers(
    emulator: Emulator, api: Api, path: str, form: dict[str, str], code: int
) -> None:
    test = Api(emulator, (emulator.test_account_sid, emulator.test_auth_token), emulator.test_account_sid)
    if path != "IncomingPhoneNumbers":
        form = {"To": "+14155550100", "From": "+15005550006", "Body": "x", "Url": "http://example.com/"} | form
    if code:
        assert test.error("POST", f"{path}.json", form) == (429 if code == 21611 else 400, code)
    else:
        made = test.post(f"{path}.json", **form)
        assert made["account_sid"] == emulator.test_account_sid
        assert made["uri"].startswith(f"/2010-04-01/Accounts/{emulator.test_account_sid}/{path}/")
    assert emulator.messages == emulator.calls == []
    assert len(emulator.numbers) == 1


def test_credentials_for_tests_do_not_reach_live_account(emulator: Emulator) -> None:
    test = (emulator.test_account_sid, emulator.test_auth_token)
    form = {"To": "+14155550100", "From": "+15005550006", "Body": "x"}
    assert Api(emulator, test, emulator.account_sid).error("POST", "Messages.json", form) == (401, 20003)
    live = Api(emulator, (emulator.account_sid, emulator.auth_token), emulator.test_account_sid)
    assert live.error("POST", "Messages.json", form) == (404, 20404)


def test_credentials_for_tests_reject_other_resources(emulator: Emulator) -> None:
    test = Api(emulator, (emulator.test_account_sid, emulator.test_auth_token), emulator.test_account_sid)
    assert test.error("GET", "Messages.json") == (403, 20008)
    assert test.error("GET", "Balance.json") == (403, 20008)
    assert test.error("POST", "/2010-04-01/Accounts.json", {}) == (403, 20008)


def test_routing_rejects_unknown_paths_and_methods(api: Api) -> None:
    assert api.error("PUT", "Messages.json") == (405, 20004)
    assert api.error("GET", f"/2010-04-01/Accounts/AC{'0' * 32}/Messages.json")[1] in (20003, 20404)


UNKNOWN_PATHS = [
    "Nothing.json",
    "Messages",
    "Messages//.json",
    "Calls/CA" + "0" * 32 + "/Events.json",
    "Recordings/RE" + "0" * 32 + ".mp3",
    "Usage/Triggers.json",
    "AvailablePhoneNumbers/US/Satellite.json",
    "/2010-04-01/Elsewhere.json",
    "/v1/x",
    "/lookups.twilio.com/v2/PhoneNumbers/+14155550100",
    "/verify.twilio.com/v2/Services",
    "/messaging.twilio.com/v1/Deactivations",
    "/messaging.twilio.com/v1/Services/MG" + "0" * 32 + "/ShortCodes",
]


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
@pytest.mark.parametrize("path", UNKNOWN_PATHS)
def test_routing_returns_501_for_unknown_operation(api: Api, method: str, path: str) -> None:
    response = api(method, path)
    assert response.status_code == response.json()["status"] == 501
    assert "the emulator does not know this operation" in response.json()["message"]


@pytest.mark.parametrize(
    "path",
    [
        "Messages/SM" + "0" * 32 + ".json",
        "Messages/nonsense.json",
        "Messages/nonsense/Media.json",
        "Calls/1.json",
        "Recordings/REx.json",
        "Recordings/RE" + "0" * 32,
        "IncomingPhoneNumbers/+14155550100.json",
        "AvailablePhoneNumbers/us/Local.json",
        "/messaging.twilio.com/v1/Services/MG" + "0" * 32,
        "/messaging.twilio.com/v1/Services/news/PhoneNumbers",
        "/media.twiliocdn.com/nonsense",
    ],
)
def test_routing_returns_404_for_missing_record(api: Api, path: str) -> None:
    assert api.error("GET", path) == (404, 20404)
