"""Tests of the emulator's inbox in a real Chromium."""

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
CONVERSATION = f"/?phone={quote(PHONE)}"
HOSTILE = "<img src=x onerror=\"window.hit=1\"><script>window.hit=1</script><svg onload='window.hit=1'>{{ 7*7 }}"

OpenInbox = Callable[..., Page]


def post(emulator: Emulator, path: str, **form: str) -> dict[str, Any]:
    url = f"{emulator.url}/2010-04-01/Accounts/{emulator.account_sid}/{path}"
    response = requests.post(url, data=form, auth=(emulator.account_sid, emulator.auth_token), timeout=10)
    result: dict[str, Any] = response.json()
    return result


def list_messages(emulator: Emulator) -> list[dict[str, Any]]:
    """Return the messages that the REST API lists."""
    url = f"{emulator.url}/2010-04-01/Accounts/{emulator.account_sid}/Messages.json"
    response = requests.get(url, auth=(emulator.account_sid, emulator.auth_token), timeout=10)
    result: list[dict[str, Any]] = response.json()["messages"]
    return result


def send(emulator: Emulator, body: str, to: str = PHONE, **form: str) -> str:
    sid = post(emulator, "Messages.json", From=emulator.phone_number, To=to, Body=body, **form)["sid"]
    assert isinstance(sid, str)
    return sid


@pytest.fixture
def story(emulator: Emulator) -> dict[str, str]:
    """Create a conversation with delivered messages, a failed message, replies and a call."""
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
    emulator.set_message_status(failed, "undelivered", 30003)
    emulator.receive_message("I am on it", from_=PHONE)
    send(emulator, "Thanks! The run is green again.")
    emulator.clock.advance(10)
    return {"delivered": delivered, "failed": failed, "call": call}


def bubble_text(page: Page, sid: str) -> str:
    """Wait for a bubble, and return its text."""
    page.wait_for_selector(f"#{sid}")
    return " ".join(page.inner_text(f"#{sid}").split())


def wait_until(page: Page, expression: str) -> None:
    """Wait until a JavaScript expression is true.

    Playwright's own ``wait_for_function`` needs ``eval``, which the Content-Security-Policy blocks.
    """
    for _ in range(150):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(100)
    pytest.fail(f"timed out waiting for: {expression}")


# ------------------------------------------------------------------ conversations


def test_conversation_shows_delivered_and_failed_messages_and_call(open_inbox: OpenInbox, story: dict[str, str]):
    page = open_inbox()
    page.click(f'[data-phone="{PHONE}"]')
    assert "delivered" in bubble_text(page, story["delivered"])
    failed = bubble_text(page, story["failed"])
    assert "undelivered 30003" in failed
    assert "The handset is unreachable" in failed
    call = bubble_text(page, story["call"])
    assert "completed" in call
    assert "Orders daily has failed twice." in call
    assert page.url.endswith(CONVERSATION)
    page.go_back()
    page.wait_for_selector(".welcome:visible")


def test_conversation_statuses_update_live(open_inbox: OpenInbox, emulator: Emulator):
    page = open_inbox(CONVERSATION)
    sid = send(emulator, "Live")
    for seconds, status in ((0.0, "queued"), (0.4, "sending"), (0.5, "sent"), (2.0, "delivered")):
        emulator.clock.advance(seconds)
        page.wait_for_selector(f'#{sid}[aria-label$=" {status}"]')
    assert page.locator(f"#{sid}").count() == 1
    assert f"New message or call: {PHONE}" in page.inner_text("#announcement")


def test_conversation_details_stay_open_during_updates(open_inbox: OpenInbox, emulator: Emulator):
    sid = send(emulator, "Details")
    page = open_inbox(CONVERSATION)
    page.click(f"#{sid} summary")
    emulator.clock.advance(5)
    page.wait_for_selector(f'#{sid}[aria-label$=" delivered"]')
    assert sid in page.inner_text(f"#{sid} dl")
    assert page.evaluate("document.activeElement.tagName") == "SUMMARY"


def test_phone_list_marks_unread_items_until_opened(open_inbox: OpenInbox, emulator: Emulator):
    send(emulator, "one", "+14155550001")
    send(emulator, "two", "+14155550002")
    page = open_inbox()
    wait_until(page, "document.querySelectorAll('.unread').length === 2")
    page.click('a[data-phone="+14155550001"]')
    wait_until(page, "document.querySelectorAll('.unread').length === 1")
    page.reload()
    wait_until(page, "document.querySelectorAll('.unread').length === 1")
    page.click('a[data-phone="+14155550002"]')
    wait_until(page, "document.querySelectorAll('.unread').length === 0")
    emulator.receive_message("three", from_="+14155550001")
    page.wait_for_selector('[data-key="+14155550001"].unread')
    page.click('a[data-phone="+14155550001"]')
    wait_until(page, "document.querySelectorAll('.unread').length === 0")
    answer = emulator.receive_message("four", from_="+14155550001")
    page.wait_for_selector(f"#{answer}")
    wait_until(page, "document.querySelectorAll('.unread').length === 0")  # it arrived while its conversation was open


def test_conversation_show_older_keeps_scroll_position(open_inbox: OpenInbox, emulator: Emulator):
    sids = [emulator.receive_message(f"number {n}", from_=PHONE) for n in range(200)]
    page = open_inbox(CONVERSATION)
    at_end = "((t) => t.scrollHeight - t.scrollTop - t.clientHeight < 2)(document.querySelector('#conversation'))"
    wait_until(page, at_end)
    page.evaluate("document.querySelector('#conversation').scrollTop = 0")
    top = page.locator("article").first
    assert top.get_attribute("id") == sids[140]
    before = top.bounding_box()["y"]
    page.click('[data-action="older"]')
    page.wait_for_selector(f"#{sids[20]}", state="attached")
    after = page.locator(f"#{sids[140]}").bounding_box()["y"]
    assert abs(after - before) < 60  # only the button moved
    emulator.receive_message("the newest", from_=PHONE)
    page.wait_for_selector("article:has-text('the newest')", state="attached")
    assert not page.evaluate(at_end)  # the scroll position stays


def test_inbox_with_ten_thousand_messages_pages_and_searches(open_inbox: OpenInbox, emulator: Emulator):
    for n in range(10_000):
        emulator.receive_message(f"text {n}", from_=f"+1415{5550000 + n % 300:07}")
    page = open_inbox()
    page.wait_for_selector(".phone")
    assert page.locator(".phone").count() == 60
    page.click('[data-action="more-phones"]')
    wait_until(page, "document.querySelectorAll('.phone').length === 180")
    page.fill("#search", "5550123")
    wait_until(page, "document.querySelectorAll('.phone').length === 1")
    page.click(".phone")
    wait_until(page, "document.querySelectorAll('article').length === 33")


# ------------------------------------------------------------------ links and other sites


class Site:
    """Another site, with one page."""

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
    for opened in sites:
        opened.server.shutdown()
        opened.server.server_close()


@pytest.mark.parametrize("item", ["delivered", "failed", "call"])
def test_link_with_sid_opens_its_conversation(open_inbox: OpenInbox, story: dict[str, str], item: str):
    page = open_inbox(f"/#{story[item]}")
    page.wait_for_selector(f"#{story[item]}.found")
    assert page.evaluate("document.activeElement.id") == story[item]
    assert page.inner_text("#contact") == "+1 415 555 0142"


def test_link_with_sid_finds_old_message(open_inbox: OpenInbox, emulator: Emulator):
    sids = [emulator.receive_message(f"number {n}", from_=PHONE) for n in range(300)]
    page = open_inbox(f"/#{sids[17]}")
    page.wait_for_selector(f"#{sids[17]}.found")
    page.click('[data-action="latest"]')
    page.wait_for_selector(f"#{sids[-1]}")


def test_link_with_unknown_sid_shows_alert(open_inbox: OpenInbox):
    page = open_inbox("/#SM" + "0" * 32)
    page.wait_for_selector("#alert:has-text('No message or call has the SID SM000')")


def test_link_from_another_site_opens_message(
    browser: Any, emulator: Emulator, story: dict[str, str], site: Callable[[str], str]
):
    """Airflow's web UI is another site."""
    page = browser.new_page()
    page.goto(site(f'<a href="{emulator.url}/#{story["failed"]}">Twilio log</a>'))
    page.click("a")
    page.wait_for_selector(f"#{story['failed']}.found")
    page.close()


def test_emulator_rejects_requests_of_another_site(browser: Any, emulator: Emulator, site: Callable[[str], str]):
    page = browser.new_page()
    page.goto(site("<form id=f method=post target=there></form><iframe name=there></iframe>"))
    attempts = """async ([base, own]) => {
      const attempt = (path, init) =>
        fetch(base + path, init).then((response) => response.type + response.status, () => "blocked");
      const body = JSON.stringify({from: "+14155550100", to: own, body: "forged"});
      const json = {"Content-Type": "application/json"};
      return [
        await attempt("/_emulator/messages", {method: "POST", headers: json, body}),
        await attempt("/_emulator/messages", {method: "POST", mode: "no-cors", body}),
        await attempt("/_emulator/reset", {method: "POST", mode: "no-cors"}),
        await attempt("/_emulator/requests", {}),
        await attempt("/_emulator/inbox/live", {}),
        await attempt("/", {}),
      ];
    }"""
    emulator.receive_message("mine", from_=PHONE)
    results = page.evaluate(attempts, [emulator.url, emulator.phone_number])
    assert set(results) <= {"blocked", "opaque0"}  # opaque: the browser sent it, and the emulator rejected it
    page.evaluate(f"f.action = '{emulator.url}/_emulator/reset'; f.submit()")
    page.wait_for_timeout(300)
    assert [message["body"] for message in emulator.messages] == ["mine"]
    framed = site(f"<iframe src='{emulator.url}/'></iframe>")
    page.goto(framed)
    assert page.frames[1].query_selector(".phones") is None
    page.close()


# ------------------------------------------------------------------ replies and calls


def test_reply_creates_inbound_message(open_inbox: OpenInbox, emulator: Emulator, story: dict[str, str]):
    page = open_inbox(CONVERSATION)
    page.fill("#text", "Who is this?")
    page.click(".send")
    page.wait_for_selector("article.inbound:has-text('Who is this?')")
    (inbound,) = [message for message in list_messages(emulator) if message["body"] == "Who is this?"]
    assert (inbound["direction"], inbound["status"]) == ("inbound", "received")
    assert (inbound["from"], inbound["to"]) == (PHONE, emulator.phone_number)
    assert page.input_value("#text") == ""


def test_reply_to_whatsapp_message_uses_whatsapp(open_inbox: OpenInbox, emulator: Emulator):
    whatsapp = f"whatsapp:{emulator.phone_number}"
    post(emulator, "Messages.json", From=whatsapp, To=f"whatsapp:{PHONE}", Body="Hello")
    page = open_inbox(CONVERSATION)
    page.fill("#text", "Hi")
    page.press("#text", "Enter")
    page.wait_for_selector("article.inbound:has-text('Hi')")
    (inbound,) = [message for message in list_messages(emulator) if message["direction"] == "inbound"]
    assert (inbound["from"], inbound["to"]) == (f"whatsapp:{PHONE}", whatsapp)


def test_compose_sends_message_from_new_phone(open_inbox: OpenInbox, emulator: Emulator):
    page = open_inbox()
    page.click('[data-action="compose"]')
    page.fill("#compose-from", "+1 415 555 0177")
    page.fill("#compose-text", "Is anybody there?")
    page.click("#compose button[type=submit]")
    page.wait_for_selector("article.inbound:has-text('Is anybody there?')")
    assert [message["from"] for message in list_messages(emulator)] == ["+14155550177"]


def test_compose_shows_control_api_error_in_dialog(open_inbox: OpenInbox, emulator: Emulator):
    page = open_inbox(allow_rejections=True)
    page.click('[data-action="compose"]')
    page.fill("#compose-from", "+99999999")
    page.fill("#compose-text", "x")
    emulator.state.main.numbers.remove(next(iter(emulator.state.main.numbers)))
    page.click("#compose button[type=submit]")
    page.wait_for_selector("#compose .form-error:visible")
    assert "no account owns" in page.inner_text("#compose .form-error")


def test_conversation_hang_up_and_call_buttons_work(open_inbox: OpenInbox, emulator: Emulator):
    twiml = "<Response><Say>Hello</Say><Pause length='100'/></Response>"
    call = post(emulator, "Calls.json", From=emulator.phone_number, To=PHONE, Twiml=twiml)["sid"]
    page = open_inbox(CONVERSATION)
    assert page.locator('[data-action="hang-up"]').count() == 0
    emulator.clock.advance(20)
    page.click('[data-action="hang-up"]')
    page.wait_for_selector(f'#{call}[aria-label$=" completed"]')
    page.click('[data-action="call"]')
    page.wait_for_selector("article.inbound.call")
    assert [(call["direction"], call["from"]) for call in emulator.calls][1] == ("inbound", PHONE)


def test_keypad_sends_digits_by_mouse_and_keyboard(open_inbox: OpenInbox, emulator: Emulator):
    twiml = "<Response><Gather numDigits='2' timeout='60'/><Pause length='60'/></Response>"
    call = post(emulator, "Calls.json", From=emulator.phone_number, To=PHONE, Twiml=twiml)["sid"]
    emulator.clock.advance(5)
    page = open_inbox(CONVERSATION)
    page.click('.keypad button:has-text("4")')
    page.wait_for_selector(f"#{call}:has-text('⌨ 4')")
    assert page.evaluate("document.activeElement.textContent") == "4"  # the key keeps the focus
    page.keyboard.press("Enter")
    page.wait_for_selector(f"#{call}:has-text('⌨ 44')")
    page.wait_for_selector(".keypad", state="detached")


# ------------------------------------------------------------------ faults, quirks, clock, journal


def test_faults_are_added_and_cleared(open_inbox: OpenInbox, emulator: Emulator):
    page = open_inbox()
    page.select_option("#fault", label="503 Service Unavailable")
    page.select_option("#fault-filter", label="Send a message")
    page.fill("#fault-count", "2")
    page.click(".fault button")
    page.wait_for_selector(".faults:has-text('status 503 for the next 2 requests')")
    assert post(emulator, "Messages.json", From=emulator.phone_number, To=PHONE, Body="x")["code"] == 20503
    page.wait_for_selector(".faults:has-text('for the next request')")
    page.click('[data-action="clear-faults"]')
    page.wait_for_selector(".active-faults:has-text('No active faults')")
    assert "sid" in post(emulator, "Messages.json", From=emulator.phone_number, To=PHONE, Body="x")


def test_quirks_change_and_invalid_value_is_reverted(open_inbox: OpenInbox, emulator: Emulator):
    page = open_inbox(allow_rejections=True)
    page.check("#quirk-trial")
    page.fill("#quirk-list_lag", "2.5")
    page.press("#quirk-list_lag", "Tab")
    page.select_option("#quirk-callbacks", "none")
    page.fill("#quirk-concurrency", "9")
    page.press("#quirk-concurrency", "Tab")
    page.wait_for_timeout(700)
    quirks = emulator.quirks
    assert (quirks.trial, quirks.list_lag, quirks.callbacks, quirks.concurrency) == (True, 2.5, "none", 9)
    emulator.quirks.set(unsent="last")
    wait_until(page, "document.querySelector('#quirk-unsent').value === 'last'")
    page.fill("#quirk-latency", "-1")
    page.press("#quirk-latency", "Enter")
    page.wait_for_selector("#alert:has-text('latency can')")
    wait_until(page, "document.querySelector('#quirk-latency').value === '0'")
    assert quirks.latency == 0


def test_clock_advances_and_resumes(open_inbox: OpenInbox, emulator: Emulator):
    sid = send(emulator, "slow", "+15005559016")
    page = open_inbox(f"/#{sid}")
    page.wait_for_selector(f'#{sid}[aria-label$=" queued"]')
    page.click("text=Advance 1 minute")
    page.wait_for_selector(f'#{sid}[aria-label$=" sent"]')
    page.click("text=Advance 1 hour")
    page.wait_for_selector(f'#{sid}[aria-label$=" delivered"]')
    page.click('[data-action="resume"]')
    page.wait_for_selector('[data-action="freeze"]')
    assert not emulator.clock.frozen


def test_journal_search_links_to_message(open_inbox: OpenInbox, emulator: Emulator):
    send(emulator, "haystack", "+14155550001")
    sid = send(emulator, "needle")
    page = open_inbox()
    page.click("#tab-journal")
    wait_until(page, "document.querySelectorAll('.journal details').length === 2")
    page.fill("#journal-search", "needle")
    wait_until(page, "document.querySelectorAll('.journal details').length === 1")
    page.click(".journal summary")
    page.click(f".journal a:has-text('{sid}')")
    page.wait_for_selector(f"#{sid}.found")


def test_reset_requires_confirmation(open_inbox: OpenInbox, emulator: Emulator, story: dict[str, str]):
    page = open_inbox(CONVERSATION)
    page.click('[data-action="reset"]')
    assert emulator.messages
    page.click('[data-action="reset"]:has-text("Press again")')
    page.wait_for_selector(".empty:has-text('No messages or calls yet')")
    assert emulator.messages == []


# ------------------------------------------------------------------ hostile text


def test_inbox_does_not_execute_hostile_text(open_inbox: OpenInbox, emulator: Emulator):
    send(emulator, HOSTILE)
    media = ['https://example.com/"><script>window.hit=1</script>']
    emulator.receive_message(HOSTILE, from_=PHONE, media=media)
    twiml = f"<Response><Say><![CDATA[{HOSTILE}]]></Say><Pause length='60'/></Response>"
    post(emulator, "Calls.json", From=emulator.phone_number, To=PHONE, Twiml=twiml)
    post(emulator, "IncomingPhoneNumbers.json", FriendlyName=HOSTILE)
    emulator.fail_next(status=500, path=HOSTILE)
    emulator.clock.advance(10)
    page = open_inbox(CONVERSATION)
    page.click("#tab-journal")
    page.wait_for_selector(".journal details")
    for summary in page.locator("summary").all():
        summary.click()
    page.fill("#search", HOSTILE)
    page.wait_for_selector(".empty")
    page.fill("#text", HOSTILE)
    page.click(".send")
    wait_until(page, "document.querySelectorAll('article.inbound').length === 2")
    assert page.evaluate("window.hit") is None
    assert HOSTILE in page.inner_text("#conversation")
    assert (
        page.locator("#conversation script, #conversation svg:not(.icon), #conversation img, .tools script").count()
        == 0
    )
    assert page.locator('a[href^="javascript" i]').count() == 0
    other = open_inbox(f"/?phone={quote(HOSTILE)}&q={quote(HOSTILE)}")
    other.wait_for_timeout(700)
    assert other.evaluate("window.hit") is None


def test_content_security_policy_blocks_injected_markup(browser: Any, emulator: Emulator):
    """The policy is the second line of defense, behind the escaping of templates."""
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


# ------------------------------------------------------------------ accessibility

CONTRAST = """() => {
  const channels = (color) => color.match(/[\\d.]+/g).map(Number);
  const luminance = ([r, g, b]) => {
    const part = (c) => (c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  };
  const background = (element) => {
    for (let ancestor = element; ancestor; ancestor = ancestor.parentElement) {
      const color = channels(getComputedStyle(ancestor).backgroundColor);
      if (color.length === 3 || color[3] === 1) return color;
    }
    return [255, 255, 255];
  };
  const measured = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !element.checkVisibility()) continue;
    if (element.closest("option, .hidden, .wait")) continue;
    const [a, b] = [luminance(channels(getComputedStyle(element).color)), luminance(background(element))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    measured.push([Math.round(ratio * 100) / 100, walker.currentNode.data.trim().slice(0, 40), element.className]);
  }
  return measured;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_contrast_is_sufficient_in_both_schemes(open_inbox: OpenInbox, story: dict[str, str], scheme: str):
    page = open_inbox(CONVERSATION, color_scheme=scheme)
    page.wait_for_selector("article")
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (max(map(int, background.strip("rgb()").split(","))) < 60) == (scheme == "dark")
    measured = page.evaluate(CONTRAST)
    assert len(measured) > 60
    assert [entry for entry in measured if entry[0] < 4.5] == []


@pytest.mark.parametrize("width", [320, 390, 700, 1000])
def test_layout_fits_narrow_windows(open_inbox: OpenInbox, story: dict[str, str], width: int):
    page = open_inbox(viewport={"width": width, "height": 700})

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
    page.wait_for_selector("article.inbound:has-text('from a narrow window')")
    if width < 704:
        assert not page.is_visible("nav.phones")
        page.click(".back")
        page.wait_for_selector("nav.phones:visible")
        assert page.evaluate("document.activeElement.dataset.phone") == PHONE
        assert not page.is_visible("#text")
    else:
        assert page.is_visible("nav.phones")
    page.click("button.tools-button")
    page.wait_for_selector("#fault:visible")
    assert fits()
    page.keyboard.press("Escape")
    page.wait_for_selector("#fault", state="hidden")


def test_inbox_is_usable_by_keyboard(open_inbox: OpenInbox, emulator: Emulator, story: dict[str, str]):
    page = open_inbox()
    focused = "document.activeElement"

    def outlined() -> bool:
        style = "(({outlineStyle, outlineWidth}) => outlineStyle + outlineWidth)"
        return bool(page.evaluate(f"{style}(getComputedStyle({focused}))") not in ("none0px", "none3px"))

    page.keyboard.press("Tab")
    assert page.evaluate(f"{focused}.className") == "skip"
    page.keyboard.press("Tab")
    assert page.evaluate(f"{focused}.id") == "search"
    page.keyboard.type("0142")
    wait_until(page, "document.querySelectorAll('.phone').length === 1")
    page.keyboard.press("ArrowDown")
    assert page.evaluate(f"{focused}.dataset.phone") == PHONE
    assert outlined()
    page.keyboard.press("Enter")
    page.wait_for_selector("article")
    stops = []
    for _ in range(60):
        page.keyboard.press("Tab")
        stops.append(page.evaluate(f"{focused}.id || {focused}.dataset.action || {focused}.tagName"))
        assert outlined(), stops
        if stops[-1] == "text":
            break
    assert stops[-1] == "text"
    page.keyboard.type("By keys")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("alone")
    page.keyboard.press("Enter")
    page.wait_for_selector("article.inbound:has-text('By keys')")
    assert next(m["body"] for m in list_messages(emulator) if m["direction"] == "inbound") == "By keys\nalone"
    page.focus("#tab-controls")
    page.keyboard.press("ArrowRight")
    assert page.evaluate(f"{focused}.id") == "tab-journal"
    page.wait_for_selector(".journal details")
    page.focus('[data-action="compose"]')
    page.keyboard.press("Enter")
    assert page.evaluate(f"{focused}.id") == "compose-from"
    page.keyboard.press("Escape")
    page.wait_for_selector("#compose", state="hidden")


def test_controls_have_accessible_names_and_unique_ids(open_inbox: OpenInbox, story: dict[str, str]):
    page = open_inbox(CONVERSATION)
    page.wait_for_selector("article")
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll("button, input, select, textarea, a, [role]")]
      .filter((e) => !(e.ariaLabel || e.getAttribute("aria-labelledby") || e.labels?.length || e.textContent.trim()))
      .filter((e) => e.id !== "announcement" && e.id !== "alert" && !e.matches(".form-error"))
      .map((e) => e.outerHTML)"""
    )
    assert unnamed == []
    duplicates = page.evaluate(
        "(() => { const ids = [...document.querySelectorAll('[id]')].map((e) => e.id);"
        " return ids.filter((id, n) => ids.indexOf(id) !== n) })()"
    )
    assert duplicates == []


def test_animations_respect_reduced_motion(open_inbox: OpenInbox, emulator: Emulator):
    for preference, animated in (("reduce", False), ("no-preference", True)):
        page = open_inbox(CONVERSATION, reduced_motion=preference)
        sid = emulator.receive_message(f"with {preference}", from_=PHONE)
        page.wait_for_selector(f"#{sid}")
        assert (page.evaluate(f"getComputedStyle({json.dumps(sid)} && {sid}).animationName") != "none") is animated


def test_page_without_javascript_shows_conversation(open_inbox: OpenInbox, story: dict[str, str]):
    page = open_inbox(CONVERSATION, java_script_enabled=False)
    assert "Thanks! The run is green again." in page.inner_text("#conversation")
    assert page.is_visible(".noscript")
    assert page.locator("button:visible").count() == 0  # without scripts they would do nothing


def test_page_shows_alert_while_emulator_is_down(browser: Any):
    from airflow_provider_twilio.emulator import serve

    with serve() as emulator:
        page = browser.new_page()
        page.goto(emulator.url)
        page.wait_for_timeout(700)
    page.wait_for_selector("#alert:has-text('Cannot reach the emulator')")
    with serve(port=emulator.port):
        page.wait_for_selector("#alert", state="hidden")
    page.close()


# ------------------------------------------------------------------ screenshots


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_screenshots_of_inbox_exist(
    open_inbox: OpenInbox, emulator: Emulator, story: dict[str, str], scheme: str, request: pytest.FixtureRequest
):
    """Check the documentation's screenshots, and with ``--screenshots`` take them again."""
    emulator.fail_next(2, status=429, retry_after=2, method="POST", path="/Messages.json")
    emulator.clock.resume()
    page = open_inbox(CONVERSATION, color_scheme=scheme, viewport={"width": 1280, "height": 800})
    page.wait_for_selector(f"#{story['failed']}")
    page.wait_for_timeout(700)
    path = IMAGES / f"inbox-{scheme}.png"
    if request.config.getoption("--screenshots", default=False):
        page.screenshot(path=path)
    assert 20_000 < path.stat().st_size < 200_000
