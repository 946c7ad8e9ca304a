"""The emulator's inbox in a real Chromium."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import quote

import pytest
import requests

from airflow_provider_twilio.emulator import Emulator
from tests.browser.conftest import IMAGES, Page

pytestmark = pytest.mark.slow

PHONE = "+14155550142"
THREAD = f"/?phone={quote(PHONE)}"
HOSTILE = "<img src=x onerror=\"window.hit=1\"><script>window.hit=1</script><svg onload='window.hit=1'>{{ 7*7 }}"

Look = Callable[..., Page]


def post(emulator: Emulator, path: str, **form: str) -> dict[str, Any]:
    url = f"{emulator.url}/2010-04-01/Accounts/{emulator.account_sid}/{path}"
    answer = requests.post(url, data=form, auth=(emulator.account_sid, emulator.auth_token), timeout=10)
    result: dict[str, Any] = answer.json()
    return result


def listed(emulator: Emulator) -> list[dict[str, Any]]:
    """List the messages as a client of Twilio's REST API sees them."""
    url = f"{emulator.url}/2010-04-01/Accounts/{emulator.account_sid}/Messages.json"
    answer = requests.get(url, auth=(emulator.account_sid, emulator.auth_token), timeout=10)
    result: list[dict[str, Any]] = answer.json()["messages"]
    return result


def send(emulator: Emulator, body: str, to: str = PHONE, **form: str) -> str:
    sid = post(emulator, "Messages.json", From=emulator.phone_number, To=to, Body=body, **form)["sid"]
    assert isinstance(sid, str)
    return sid


@pytest.fixture
def story(emulator: Emulator) -> dict[str, str]:
    """Let a DAG and a phone talk: delivered messages, one that failed, answers, a call."""
    send(emulator, "Backup of orders finished in 42 s.", "+14155550188")
    send(emulator, "Your parcel leaves today.", "+14155550100")
    send(emulator, "Are you there?", "+15005559001")
    delivered = send(
        emulator,
        "Pipeline orders_daily has failed at task load: 3 of 5 files are missing. Reply RETRY to run it again.",
    )
    emulator.clock.advance(60)
    emulator.receive_message("RETRY", from_=PHONE)
    emulator.clock.advance(20)
    send(emulator, "Running it again, this is try 2.", MediaUrl="https://example.com/charts/orders-2026.png")
    emulator.clock.advance(200)
    twiml = (
        "<Response><Say>Orders daily has failed twice.</Say>"
        "<Gather numDigits='1'><Say>Press one to acknowledge, two to escalate.</Say></Gather></Response>"
    )
    call = post(emulator, "Calls.json", From=emulator.phone_number, To=PHONE, Twiml=twiml)["sid"]
    emulator.clock.advance(100)
    failed = send(emulator, "Escalated to the data team.")
    emulator.set_message(failed, "undelivered", 30003)
    emulator.receive_message("I am on it", from_=PHONE)
    send(emulator, "Thanks! The run is green again.")
    emulator.clock.advance(10)
    return {"delivered": delivered, "failed": failed, "call": call}


def seen(page: Page, sid: str) -> str:
    """Give a bubble's words, once it is there."""
    page.wait_for_selector(f"#{sid}")
    return " ".join(page.inner_text(f"#{sid}").split())


def until(page: Page, expression: str) -> None:
    """Wait until something is true in the page; from outside, as its policy takes no `eval`."""
    for _ in range(150):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(100)
    pytest.fail(f"it never came to be: {expression}")


# ------------------------------------------------------------------ looking


def test_a_thread_with_a_delivered_and_a_failed_message_and_a_call(look: Look, story: dict[str, str]):
    page = look()
    page.click(f'[data-phone="{PHONE}"]')
    assert "delivered" in seen(page, story["delivered"])
    failed = seen(page, story["failed"])
    assert "undelivered 30003" in failed
    assert "The handset can't be reached" in failed
    call = seen(page, story["call"])
    assert "completed" in call
    assert "Orders daily has failed twice." in call
    assert page.url.endswith(THREAD)
    page.go_back()
    page.wait_for_selector(".welcome:visible")


def test_statuses_move_while_one_looks(look: Look, emulator: Emulator):
    page = look(THREAD)
    sid = send(emulator, "Live")
    for seconds, status in ((0.0, "queued"), (0.4, "sending"), (0.5, "sent"), (2.0, "delivered")):
        emulator.clock.advance(seconds)
        page.wait_for_selector(f'#{sid}[aria-label$=" {status}"]')
    assert page.locator(f"#{sid}").count() == 1
    assert f"New: {PHONE}" in page.inner_text("#said")


def test_details_stay_open_while_a_status_moves(look: Look, emulator: Emulator):
    sid = send(emulator, "Details")
    page = look(THREAD)
    page.click(f"#{sid} summary")
    emulator.clock.advance(5)
    page.wait_for_selector(f'#{sid}[aria-label$=" delivered"]')
    assert sid in page.inner_text(f"#{sid} dl")
    assert page.evaluate("document.activeElement.tagName") == "SUMMARY"


def test_what_is_new_is_marked_until_it_is_read(look: Look, emulator: Emulator):
    send(emulator, "one", "+14155550001")
    send(emulator, "two", "+14155550002")
    page = look()
    until(page, "document.querySelectorAll('.unread').length === 2")
    page.click('a[data-phone="+14155550001"]')
    until(page, "document.querySelectorAll('.unread').length === 1")
    page.reload()
    until(page, "document.querySelectorAll('.unread').length === 1")
    page.click('a[data-phone="+14155550002"]')
    until(page, "document.querySelectorAll('.unread').length === 0")
    emulator.receive_message("three", from_="+14155550001")
    page.wait_for_selector('[data-key="+14155550001"].unread')
    page.click('a[data-phone="+14155550001"]')
    until(page, "document.querySelectorAll('.unread').length === 0")
    answer = emulator.receive_message("four", from_="+14155550001")
    page.wait_for_selector(f"#{answer}")
    until(page, "document.querySelectorAll('.unread').length === 0")  # it came while its thread was open


def test_a_long_thread_goes_back_without_a_jump(look: Look, emulator: Emulator):
    sids = [emulator.receive_message(f"number {n}", from_=PHONE) for n in range(200)]
    page = look(THREAD)
    at_end = "((t) => t.scrollHeight - t.scrollTop - t.clientHeight < 2)(document.querySelector('#thread'))"
    until(page, at_end)
    page.evaluate("document.querySelector('#thread').scrollTop = 0")
    top = page.locator("article").first
    assert top.get_attribute("id") == sids[140]
    before = top.bounding_box()["y"]
    page.click('[data-do="older"]')
    page.wait_for_selector(f"#{sids[20]}", state="attached")
    after = page.locator(f"#{sids[140]}").bounding_box()["y"]
    assert abs(after - before) < 60  # all that moved is the button
    emulator.receive_message("the newest", from_=PHONE)
    page.wait_for_selector("article:has-text('the newest')", state="attached")
    assert not page.evaluate(at_end)  # who reads above is left there


def test_ten_thousand_messages(look: Look, emulator: Emulator):
    for n in range(10_000):
        emulator.receive_message(f"text {n}", from_=f"+1415{5550000 + n % 300:07}")
    page = look()
    page.wait_for_selector(".phone")
    assert page.locator(".phone").count() == 60
    page.click('[data-do="more-phones"]')
    until(page, "document.querySelectorAll('.phone').length === 180")
    page.fill("#search", "5550123")
    until(page, "document.querySelectorAll('.phone').length === 1")
    page.click(".phone")
    until(page, "document.querySelectorAll('article').length === 33")


# ------------------------------------------------------------------ coming by a link


class Site:
    """Another site, which serves one page."""

    def __init__(self, html: str) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.end_headers()
                self.wfile.write(html.encode())

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://localhost:{self.server.server_port}/"


@pytest.fixture
def site() -> Iterator[Callable[[str], str]]:
    sites: list[Site] = []

    def site(html: str) -> str:
        sites.append(Site(html))
        return sites[-1].url

    yield site
    for each in sites:
        each.server.shutdown()
        each.server.server_close()


@pytest.mark.parametrize("what", ["delivered", "failed", "call"])
def test_a_sid_in_the_address_opens_its_thread(look: Look, story: dict[str, str], what: str):
    page = look(f"/#{story[what]}")
    page.wait_for_selector(f"#{story[what]}.found")
    assert page.evaluate("document.activeElement.id") == story[what]
    assert page.inner_text("#who") == "+1 415 555 0142"


def test_an_old_message_is_found_in_a_long_thread(look: Look, emulator: Emulator):
    sids = [emulator.receive_message(f"number {n}", from_=PHONE) for n in range(300)]
    page = look(f"/#{sids[17]}")
    page.wait_for_selector(f"#{sids[17]}.found")
    page.click('[data-do="latest"]')
    page.wait_for_selector(f"#{sids[-1]}")


def test_a_sid_that_is_not_there_is_said_so(look: Look):
    page = look("/#SM" + "0" * 32)
    page.wait_for_selector("#trouble:has-text('There is no message or call SM000')")


def test_a_link_of_airflow_leads_to_the_message(
    browser: Any, emulator: Emulator, story: dict[str, str], site: Callable[[str], str]
):
    """Airflow's web UI is another site."""
    page = browser.new_page()
    page.goto(site(f'<a href="{emulator.url}/#{story["failed"]}">Twilio log</a>'))
    page.click("a")
    page.wait_for_selector(f"#{story['failed']}.found")
    page.close()


def test_a_page_of_another_site_cannot_drive_it(browser: Any, emulator: Emulator, site: Callable[[str], str]):
    page = browser.new_page()
    page.goto(site("<form id=f method=post target=there></form><iframe name=there></iframe>"))
    tries = """async ([base, own]) => {
      const say = (path, init) =>
        fetch(base + path, init).then((answer) => answer.type + answer.status, () => "refused");
      const body = JSON.stringify({from: "+14155550100", to: own, body: "forged"});
      const json = {"Content-Type": "application/json"};
      return [
        await say("/_emulator/messages", {method: "POST", headers: json, body}),
        await say("/_emulator/messages", {method: "POST", mode: "no-cors", body}),
        await say("/_emulator/reset", {method: "POST", mode: "no-cors"}),
        await say("/_emulator/requests", {}),
        await say("/_emulator/inbox/live", {}),
        await say("/", {}),
      ];
    }"""
    emulator.receive_message("mine", from_=PHONE)
    answers = page.evaluate(tries, [emulator.url, emulator.phone_number])
    assert set(answers) <= {"refused", "opaque0"}  # opaque: it was sent, and the emulator said no
    page.evaluate(f"f.action = '{emulator.url}/_emulator/reset'; f.submit()")
    page.wait_for_timeout(300)
    assert [message["body"] for message in emulator.messages] == ["mine"]
    framed = site(f"<iframe src='{emulator.url}/'></iframe>")
    page.goto(framed)
    assert page.frames[1].query_selector(".phones") is None
    page.close()


# ------------------------------------------------------------------ answering


def test_an_answer_becomes_an_inbound_message(look: Look, emulator: Emulator, story: dict[str, str]):
    page = look(THREAD)
    page.fill("#text", "Who is this?")
    page.click(".send")
    page.wait_for_selector("article.mine:has-text('Who is this?')")
    (inbound,) = [message for message in listed(emulator) if message["body"] == "Who is this?"]
    assert (inbound["direction"], inbound["status"]) == ("inbound", "received")
    assert (inbound["from"], inbound["to"]) == (PHONE, emulator.phone_number)
    assert page.input_value("#text") == ""


def test_an_answer_on_whatsapp_comes_in_on_whatsapp(look: Look, emulator: Emulator):
    whatsapp = f"whatsapp:{emulator.phone_number}"
    post(emulator, "Messages.json", From=whatsapp, To=f"whatsapp:{PHONE}", Body="Hello")
    page = look(THREAD)
    page.fill("#text", "Hi")
    page.press("#text", "Enter")
    page.wait_for_selector("article.mine:has-text('Hi')")
    (inbound,) = [message for message in listed(emulator) if message["direction"] == "inbound"]
    assert (inbound["from"], inbound["to"]) == (f"whatsapp:{PHONE}", whatsapp)


def test_a_new_phone_writes(look: Look, emulator: Emulator):
    page = look()
    page.click('[data-do="compose"]')
    page.fill("#compose-from", "+1 415 555 0177")
    page.fill("#compose-text", "Is anybody there?")
    page.click("#compose button[type=submit]")
    page.wait_for_selector("article.mine:has-text('Is anybody there?')")
    assert [message["from"] for message in listed(emulator)] == ["+14155550177"]


def test_a_refusal_is_shown_where_it_was_caused(look: Look, emulator: Emulator):
    page = look(refusals=True)
    page.click('[data-do="compose"]')
    page.fill("#compose-from", "+99999999")
    page.fill("#compose-text", "x")
    emulator.world.main.numbers.remove(next(iter(emulator.world.main.numbers)))
    page.click("#compose button[type=submit]")
    page.wait_for_selector("#compose .wrong:visible")
    assert "no account owns" in page.inner_text("#compose .wrong")


def test_a_phone_calls_and_hangs_up(look: Look, emulator: Emulator):
    twiml = "<Response><Say>Hello</Say><Pause length='100'/></Response>"
    call = post(emulator, "Calls.json", From=emulator.phone_number, To=PHONE, Twiml=twiml)["sid"]
    page = look(THREAD)
    assert page.locator('[data-do="hang-up"]').count() == 0
    emulator.clock.advance(20)
    page.click('[data-do="hang-up"]')
    page.wait_for_selector(f'#{call}[aria-label$=" completed"]')
    page.click('[data-do="call"]')
    page.wait_for_selector("article.mine.call")
    assert [(call["direction"], call["from"]) for call in emulator.calls][1] == ("inbound", PHONE)


def test_keys_are_pressed(look: Look, emulator: Emulator):
    twiml = "<Response><Gather numDigits='2' timeout='60'/><Pause length='60'/></Response>"
    call = post(emulator, "Calls.json", From=emulator.phone_number, To=PHONE, Twiml=twiml)["sid"]
    emulator.clock.advance(5)
    page = look(THREAD)
    page.click('.keys button:has-text("4")')
    page.wait_for_selector(f"#{call}:has-text('⌨ 4')")
    assert page.evaluate("document.activeElement.textContent") == "4"  # still there, for the next key
    page.keyboard.press("Enter")
    page.wait_for_selector(f"#{call}:has-text('⌨ 44')")
    page.wait_for_selector(".keys", state="detached")


# ------------------------------------------------------------------ faults, switches, clock, journal


def test_faults_are_armed_and_disarmed(look: Look, emulator: Emulator):
    page = look()
    page.select_option("#fault", label="503 Service Unavailable")
    page.select_option("#fault-of", label="sending a message")
    page.fill("#fault-n", "2")
    page.click(".fault button")
    page.wait_for_selector(".armed:has-text('status 503 for the next 2')")
    assert post(emulator, "Messages.json", From=emulator.phone_number, To=PHONE, Body="x")["code"] == 20503
    page.wait_for_selector(".armed:has-text('for the next one')")
    page.click('[data-do="disarm"]')
    page.wait_for_selector(".waiting:has-text('None is armed')")
    assert "sid" in post(emulator, "Messages.json", From=emulator.phone_number, To=PHONE, Body="x")


def test_switches_are_flipped(look: Look, emulator: Emulator):
    page = look(refusals=True)
    page.check("#switch-trial")
    page.fill("#switch-list_lag", "2.5")
    page.press("#switch-list_lag", "Tab")
    page.select_option("#switch-callbacks", "none")
    page.fill("#switch-concurrency", "9")
    page.press("#switch-concurrency", "Tab")
    page.wait_for_timeout(700)
    quirks = emulator.quirks
    assert (quirks.trial, quirks.list_lag, quirks.callbacks, quirks.concurrency) == (True, 2.5, "none", 9)
    emulator.quirks.set(unsent="last")
    until(page, "document.querySelector('#switch-unsent').value === 'last'")
    page.fill("#switch-latency", "-1")
    page.press("#switch-latency", "Enter")
    page.wait_for_selector("#trouble:has-text('latency can')")
    until(page, "document.querySelector('#switch-latency').value === '0'")
    assert quirks.latency == 0


def test_the_clock_is_moved(look: Look, emulator: Emulator):
    sid = send(emulator, "slow", "+15005559016")
    page = look(f"/#{sid}")
    page.wait_for_selector(f'#{sid}[aria-label$=" queued"]')
    page.click("text=+1 min")
    page.wait_for_selector(f'#{sid}[aria-label$=" sent"]')
    page.click("text=+1 h")
    page.wait_for_selector(f'#{sid}[aria-label$=" delivered"]')
    page.click('[data-do="run"]')
    page.wait_for_selector('[data-do="stop"]')
    assert not emulator.clock.frozen


def test_the_journal_is_searched_and_leads_to_the_message(look: Look, emulator: Emulator):
    send(emulator, "haystack", "+14155550001")
    sid = send(emulator, "needle")
    page = look()
    page.click("#tab-journal")
    until(page, "document.querySelectorAll('.journal details').length === 2")
    page.fill("#journal-search", "needle")
    until(page, "document.querySelectorAll('.journal details').length === 1")
    page.click(".journal summary")
    page.click(f".journal a:has-text('{sid}')")
    page.wait_for_selector(f"#{sid}.found")


def test_a_reset_is_asked_twice(look: Look, emulator: Emulator, story: dict[str, str]):
    page = look(THREAD)
    page.click('[data-do="reset"]')
    assert emulator.messages
    page.click('[data-do="reset"]:has-text("Press again")')
    page.wait_for_selector(".nothing:has-text('No messages and no calls yet')")
    assert emulator.messages == []


# ------------------------------------------------------------------ hostile text


def test_hostile_text_does_not_run(look: Look, emulator: Emulator):
    send(emulator, HOSTILE)
    media = ['https://example.com/"><script>window.hit=1</script>']
    emulator.receive_message(HOSTILE, from_=PHONE, media=media)
    twiml = f"<Response><Say><![CDATA[{HOSTILE}]]></Say><Pause length='60'/></Response>"
    post(emulator, "Calls.json", From=emulator.phone_number, To=PHONE, Twiml=twiml)
    post(emulator, "IncomingPhoneNumbers.json", FriendlyName=HOSTILE)
    emulator.fail_next(status=500, path=HOSTILE)
    emulator.clock.advance(10)
    page = look(THREAD)
    page.click("#tab-journal")
    page.wait_for_selector(".journal details")
    for summary in page.locator("summary").all():
        summary.click()
    page.fill("#search", HOSTILE)
    page.wait_for_selector(".nothing")
    page.fill("#text", HOSTILE)
    page.click(".send")
    until(page, "document.querySelectorAll('article.mine').length === 2")
    assert page.evaluate("window.hit") is None
    assert HOSTILE in page.inner_text("#thread")
    assert page.locator("#thread script, #thread svg:not(.icon), #thread img, .side script").count() == 0
    assert page.locator('a[href^="javascript" i]').count() == 0
    other = look(f"/?phone={quote(HOSTILE)}&q={quote(HOSTILE)}")
    other.wait_for_timeout(700)
    assert other.evaluate("window.hit") is None


def test_the_policy_holds_even_if_markup_slipped_in(browser: Any, emulator: Emulator):
    """The second line of defence: an injected handler, script or style is not run by this browser."""
    page = browser.new_page()
    page.goto(emulator.url)
    page.evaluate(
        """() => {
      document.querySelector("main").insertAdjacentHTML("beforeend",
        '<img src=x onerror="window.hit=1"><b style="position:fixed">x</b>' +
        '<a id=bad href="javascript:window.hit=1">x</a>');
      const script = document.createElement("script");
      script.textContent = "window.hit=1";
      document.body.append(script);
      document.querySelector("#bad").click();
    }"""
    )
    page.wait_for_timeout(300)
    assert page.evaluate("window.hit") is None
    assert page.evaluate("getComputedStyle(document.querySelector('main > b')).position") == "static"
    page.close()


# ------------------------------------------------------------------ for everyone

CONTRAST = """() => {
  const channels = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => {
    const part = (c) => (c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = channels(getComputedStyle(at).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !element.checkVisibility()) continue;
    if (element.closest("option, .hidden, .wait")) continue;
    const [a, b] = [light(channels(getComputedStyle(element).color)), light(behind(element))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    found.push([Math.round(ratio * 100) / 100, walker.currentNode.data.trim().slice(0, 40), element.className]);
  }
  return found;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_in_both_schemes(look: Look, story: dict[str, str], scheme: str):
    page = look(THREAD, color_scheme=scheme)
    page.wait_for_selector("article")
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (max(map(int, background.strip("rgb()").split(","))) < 60) == (scheme == "dark")
    measured = page.evaluate(CONTRAST)
    assert len(measured) > 60
    assert [each for each in measured if each[0] < 4.5] == []


@pytest.mark.parametrize("width", [320, 390, 700, 1000])
def test_narrow_windows(look: Look, story: dict[str, str], width: int):
    page = look(viewport={"width": width, "height": 700})

    def fits() -> bool:
        return bool(page.evaluate("document.documentElement.scrollWidth <= innerWidth"))

    assert fits()
    page.click(f'[data-phone="{PHONE}"]')
    page.wait_for_selector("article:visible")
    assert fits()
    boxes = page.evaluate("[...document.querySelectorAll('.bubble .body')].map((b) => b.getBoundingClientRect().right)")
    assert max(boxes) <= width
    page.fill("#text", "from a narrow window")
    page.press("#text", "Enter")
    page.wait_for_selector("article.mine:has-text('from a narrow window')")
    if width < 704:
        assert not page.is_visible("nav.phones")
        page.click(".back")
        page.wait_for_selector("nav.phones:visible")
        assert page.evaluate("document.activeElement.dataset.phone") == PHONE
        assert not page.is_visible("#text")
    else:
        assert page.is_visible("nav.phones")
    page.click("button.tools")
    page.wait_for_selector("#fault:visible")
    assert fits()
    page.keyboard.press("Escape")
    page.wait_for_selector("#fault", state="hidden")


def test_by_keyboard_alone(look: Look, emulator: Emulator, story: dict[str, str]):
    page = look()
    focused = "document.activeElement"

    def outlined() -> bool:
        style = "(({outlineStyle, outlineWidth}) => outlineStyle + outlineWidth)"
        return bool(page.evaluate(f"{style}(getComputedStyle({focused}))") not in ("none0px", "none3px"))

    page.keyboard.press("Tab")
    assert page.evaluate(f"{focused}.className") == "skip"
    page.keyboard.press("Tab")
    assert page.evaluate(f"{focused}.id") == "search"
    page.keyboard.type("0142")
    until(page, "document.querySelectorAll('.phone').length === 1")
    page.keyboard.press("ArrowDown")
    assert page.evaluate(f"{focused}.dataset.phone") == PHONE
    assert outlined()
    page.keyboard.press("Enter")
    page.wait_for_selector("article")
    stops = []
    for _ in range(60):
        page.keyboard.press("Tab")
        stops.append(page.evaluate(f"{focused}.id || {focused}.dataset.do || {focused}.tagName"))
        assert outlined(), stops
        if stops[-1] == "text":
            break
    assert stops[-1] == "text"
    page.keyboard.type("By keys")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("alone")
    page.keyboard.press("Enter")
    page.wait_for_selector("article.mine:has-text('By keys')")
    assert next(m["body"] for m in listed(emulator) if m["direction"] == "inbound") == "By keys\nalone"
    page.focus("#tab-tools")
    page.keyboard.press("ArrowRight")
    assert page.evaluate(f"{focused}.id") == "tab-journal"
    page.wait_for_selector(".journal details")
    page.focus('[data-do="compose"]')
    page.keyboard.press("Enter")
    assert page.evaluate(f"{focused}.id") == "compose-from"
    page.keyboard.press("Escape")
    page.wait_for_selector("#compose", state="hidden")


def test_everything_has_a_name(look: Look, story: dict[str, str]):
    page = look(THREAD)
    page.wait_for_selector("article")
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("button, input, select, textarea, a, [role]")]
      .filter((e) => !(e.ariaLabel || e.getAttribute("aria-labelledby") || e.labels?.length || e.textContent.trim()))
      .filter((e) => e.id !== "said" && e.id !== "trouble" && !e.matches(".wrong"))
      .map((e) => e.outerHTML)"""
    )
    assert nameless == []
    doubled = page.evaluate(
        "(() => { const ids = [...document.querySelectorAll('[id]')].map((e) => e.id);"
        " return ids.filter((id, n) => ids.indexOf(id) !== n) })()"
    )
    assert doubled == []


def test_nothing_moves_for_who_wants_no_motion(look: Look, emulator: Emulator):
    for wish, animated in (("reduce", False), ("no-preference", True)):
        page = look(THREAD, reduced_motion=wish)
        sid = emulator.receive_message(f"with {wish}", from_=PHONE)
        page.wait_for_selector(f"#{sid}")
        assert (page.evaluate(f"getComputedStyle({json.dumps(sid)} && {sid}).animationName") != "none") is animated


def test_without_scripts_it_still_shows(look: Look, story: dict[str, str]):
    page = look(THREAD, java_script_enabled=False)
    assert "Thanks! The run is green again." in page.inner_text("#thread")
    assert page.is_visible(".noscript")
    assert page.locator("button:visible").count() == 0  # no dead buttons


def test_an_emulator_that_is_gone_is_said_to_be(browser: Any):
    from airflow_provider_twilio.emulator import serve

    with serve() as short:
        page = browser.new_page()
        page.goto(short.url)
        page.wait_for_timeout(700)
    page.wait_for_selector("#trouble:has-text('can\\'t be reached')")
    with serve(port=short.port):
        page.wait_for_selector("#trouble", state="hidden")
    page.close()


# ------------------------------------------------------------------ pictures


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pictures(look: Look, emulator: Emulator, story: dict[str, str], scheme: str, request: pytest.FixtureRequest):
    """Take the documentation's pictures, when asked to; see that it has them."""
    emulator.fail_next(2, status=429, retry_after=2, method="POST", path="/Messages.json")
    emulator.clock.resume()
    page = look(THREAD, color_scheme=scheme, viewport={"width": 1280, "height": 800})
    page.wait_for_selector(f"#{story['failed']}")
    page.wait_for_timeout(700)
    path = IMAGES / f"inbox-{scheme}.png"
    if request.config.getoption("--screenshots", default=False):
        page.screenshot(path=path)
    assert 20_000 < path.stat().st_size < 200_000
