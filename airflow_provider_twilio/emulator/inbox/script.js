"use strict";
// The page as the server wrote it, kept up to date: asks for the parts that have changed, and puts them in their place.
// Nothing here makes HTML; it all comes from the templates, escaped.
(() => {
  const EVERY = 500;
  const body = document.body;
  const one = (selector, within = document) => within.querySelector(selector);
  const thread = one("#thread");
  const view = {
    epoch: body.dataset.epoch,
    phone: body.dataset.phone,
    first: body.dataset.first,
    last: body.dataset.last,
    search: "",
    many: "",
    journal: false,
    journalSearch: "",
    journalMany: "",
    found: null,
  };

  // ------------------------------------------------------------ what has been read, remembered by this browser

  const read = {
    held: {},
    load() {
      try {
        const kept = JSON.parse(localStorage.getItem("twilio-emulator-read") || "{}");
        this.held = kept.epoch === view.epoch ? kept.seen : {};
      } catch {
        this.held = {};
      }
    },
    mark(phone, newest) {
      if ((this.held[phone] || 0) >= newest) return;
      this.held[phone] = newest;
      try {
        localStorage.setItem("twilio-emulator-read", JSON.stringify({ epoch: view.epoch, seen: this.held }));
      } catch {
        // A browser may forbid it; then it is remembered until the page is closed.
      }
    },
  };

  function markRead() {
    for (const row of document.querySelectorAll("[data-newest]")) {
      const newest = Number(row.dataset.newest);
      const atEnd = row.dataset.key === view.phone && !view.last && !document.hidden;
      if (atEnd && body.classList.contains("at-thread")) read.mark(row.dataset.key, newest);
      row.classList.toggle("unread", newest > (read.held[row.dataset.key] || 0));
    }
  }

  // ------------------------------------------------------------ putting parts in their place

  const written = new WeakMap();

  function note(part) {
    for (const child of part.children) written.set(child, child.outerHTML);
  }

  // What is being filled in is left as it is; tell whether all else is in place, too.
  function put(part, html) {
    const template = document.createElement("template");
    template.innerHTML = html;
    const wanted = [...template.content.children];
    const held = new Map([...part.children].map((child) => [child.dataset.key, child]));
    const focused = part.contains(document.activeElement) ? document.activeElement : null;
    const focusedIn = focused && focused.closest("[data-part] > *");
    let at = part.firstElementChild;
    let refocused = null;
    let complete = true;
    for (const child of wanted) {
      const old = held.get(child.dataset.key);
      held.delete(child.dataset.key);
      const text = child.outerHTML;
      let node = child;
      const filling = old && old === focusedIn && focused.matches(".switch :is(input, select)");
      if (old && (filling || written.get(old) === text)) {
        node = old;
        complete = complete && written.get(old) === text;
      } else {
        written.set(child, text);
        if (old) {
          const opened = one("details", old);
          if (opened && opened.open && one("details", child)) one("details", child).open = true;
          if (old === focusedIn) refocused = counterpart(focused, old, child);
          if (old === at) at = child;
          old.replaceWith(child);
        } else {
          child.classList.add("fresh");
        }
      }
      if (node === at) at = at.nextElementSibling;
      else part.insertBefore(node, at);
    }
    if (refocused) refocused.focus({ preventScroll: true });
    for (const gone of held.values()) gone.remove();
    if (focused && !focused.isConnected && document.activeElement === body) {
      const home = part.closest("[tabindex]") || one("button, a, input", part.parentElement);
      if (home) home.focus({ preventScroll: true });
    }
    return complete;
  }

  function counterpart(focused, old, child) {
    const tag = focused.tagName;
    const place = [...old.querySelectorAll(tag)].indexOf(focused);
    return place < 0 ? child : child.querySelectorAll(tag)[place];
  }

  // ------------------------------------------------------------ asking

  let asking = false;
  let askAgain = null;
  let timer = 0;

  async function ask(extra = {}) {
    if (asking) {
      askAgain = { ...askAgain, ...extra };
      return;
    }
    asking = true;
    clearTimeout(timer);
    const asked = view.phone;
    const query = new URLSearchParams({ phone: view.phone, first: view.first, last: view.last, q: view.search });
    query.set("many", view.many);
    if (view.journal) {
      query.set("journal", "1");
      query.set("jq", view.journalSearch);
      query.set("jmany", view.journalMany);
    }
    for (const [name, value] of Object.entries(extra)) query.set(name, value);
    const parts = [...document.querySelectorAll("[data-part]")];
    query.set("v", parts.map((part) => `${part.dataset.part}:${part.dataset.v}`).join(","));
    try {
      const answer = await fetch(`/_emulator/inbox/live?${query}`);
      if (!answer.ok) throw new Error(`the emulator answers ${answer.status}`);
      const news = await answer.json();
      if (view.phone === asked || extra.sid) show(news, extra);
      trouble("");
    } catch (error) {
      trouble(error instanceof TypeError ? "The emulator can't be reached." : String(error.message));
    } finally {
      asking = false;
      const again = askAgain;
      askAgain = null;
      if (again) ask(again);
      else if (!document.hidden) timer = setTimeout(ask, EVERY);
    }
  }

  function show(news, extra) {
    if (news.epoch !== view.epoch) {
      view.epoch = news.epoch;
      read.load();
    }
    const switched = news.phone !== thread.dataset.phone || Boolean(extra.sid);
    const atEnd = thread.scrollHeight - thread.scrollTop - thread.clientHeight < 60;
    const anchor = switched ? null : firstSeen();
    const anchorTop = anchor && anchor.getBoundingClientRect().top;
    view.phone = news.phone;
    view.first = news.first ?? "";
    view.last = news.last ?? "";
    for (const [name, part] of Object.entries(news.parts)) {
      const place = one(`[data-part="${name}"]`);
      const chosen = name === "ways" ? one("select", place)?.value : null;
      place.dataset.v = put(place, part.html) ? part.v : "";
      if (chosen && one(`option[value="${CSS.escape(chosen)}"]`, place)) one("select", place).value = chosen;
    }
    thread.dataset.phone = news.phone;
    if (news.parts.thread || switched) {
      if (extra.sid && news.found) highlight(news.found);
      else if (switched || (atEnd && !view.last && !extra.more)) thread.scrollTop = thread.scrollHeight;
      else if (anchor && anchor.isConnected) thread.scrollTop += anchor.getBoundingClientRect().top - anchorTop;
    }
    if (news.missing) trouble(`There is no message or call ${news.missing} here. Was the emulator reset?`, 6000);
    layOut();
    announce(news);
    markRead();
  }

  function firstSeen() {
    const top = thread.getBoundingClientRect().top;
    return [...one("[data-part=thread]").children].find(
      (child) => child.tagName === "ARTICLE" && child.getBoundingClientRect().bottom > top,
    );
  }

  function highlight(sid) {
    one(".found")?.classList.remove("found");
    const article = document.getElementById(sid);
    if (!article) return;
    article.classList.add("found");
    article.tabIndex = -1;
    article.scrollIntoView({ block: "center" });
    article.focus({ preventScroll: true });
  }

  let newest = null;
  function announce(news) {
    const sid = news.newest && news.newest.sid;
    if (newest !== null && sid && sid !== newest) say(`New: ${news.newest.phone}`);
    newest = sid || "";
  }

  function say(text) {
    one("#said").textContent = text;
  }

  let troubleUntil = 0;
  function trouble(text, lasts = 0) {
    const place = one("#trouble");
    if (!text && Date.now() < troubleUntil) return;
    troubleUntil = Date.now() + lasts;
    if (place.textContent !== text) place.textContent = text;
    place.hidden = !text;
  }

  function layOut() {
    const any = Boolean(view.phone);
    body.classList.toggle("no-phone", !any);
    one(".welcome").hidden = any;
    one("form.answer").hidden = !any;
    const can = Boolean(one("#way"));
    one(".write").hidden = !can;
    document.title = any ? `${view.phone} · Twilio emulator` : "Twilio emulator";
  }

  // ------------------------------------------------------------ going somewhere

  function go(phone, push = true) {
    Object.assign(view, { phone, first: "", last: "" });
    body.classList.remove("at-phones", "at-thread");
    body.classList.add(phone ? "at-thread" : "at-phones");
    if (push) history.pushState(null, "", phone ? `/?phone=${encodeURIComponent(phone)}` : "/");
    layOut();
    ask();
  }

  function follow() {
    const sid = location.hash.slice(1);
    if (/^(SM|MM|CA)[0-9a-f]{32}$/.test(sid)) {
      body.classList.remove("at-phones");
      body.classList.add("at-thread");
      ask({ sid });
    } else {
      go(new URLSearchParams(location.search).get("phone") || "", false);
    }
  }

  // ------------------------------------------------------------ doing something

  async function tell(name, value, method = "POST") {
    const headers = value === undefined ? {} : { "Content-Type": "application/json" };
    const answer = await fetch(`/_emulator/${name}`, { method, headers, body: value && JSON.stringify(value) });
    const result = await answer.json();
    if (!answer.ok) throw new Error(result.error || `the emulator answers ${answer.status}`);
    return result;
  }

  async function attempt(action, place = null) {
    try {
      await action();
      if (place) place.hidden = true;
    } catch (error) {
      const text = error instanceof TypeError ? "The emulator can't be reached." : error.message;
      if (place) {
        place.textContent = text;
        place.hidden = false;
      } else {
        trouble(text, 6000);
      }
    }
    ask();
  }

  const way = () => {
    const [to, from] = one("#way").value.split(" ");
    return { to, from };
  };

  const doings = {
    "more-phones": () => {
      view.many = String(Number(view.many || 60) + 120);
      ask();
    },
    "more-journal": () => {
      view.journalMany = String(Number(view.journalMany || 60) + 120);
      ask();
    },
    older: () => ask({ more: "older" }),
    newer: () => ask({ more: "newer" }),
    latest: () => go(view.phone, false),
    back: () => {
      const phone = view.phone;
      go("");
      one(`[data-phone="${CSS.escape(phone)}"]`)?.focus();
    },
    call: () => attempt(() => tell("calls", { from: view.phone, to: way().to.replace(/^.*:/, "") })),
    "hang-up": (button) => attempt(() => tell("inbox/hang-up", { sid: button.dataset.sid })),
    press: (button) => attempt(() => tell(`calls/${button.dataset.sid}/digits`, { digits: button.dataset.keyPressed })),
    disarm: () => attempt(() => tell("faults", undefined, "DELETE")),
    advance: (button) => attempt(() => tell("clock", { advance: Number(button.dataset.seconds) })),
    stop: () => attempt(() => tell("clock", { freeze: true })),
    run: () => attempt(() => tell("clock", { freeze: false })),
    reset: (button) => {
      if (button.dataset.sure !== "yes") {
        button.dataset.sure = "yes";
        button.textContent = "Really reset? Press again";
        setTimeout(() => {
          button.dataset.sure = "";
          button.textContent = "Reset the emulator";
        }, 4000);
        return;
      }
      button.dataset.sure = "";
      button.textContent = "Reset the emulator";
      attempt(async () => {
        await tell("reset", {});
        go("");
      });
    },
    tools: () => {
      const open = body.classList.toggle("with-side");
      one("button.tools").setAttribute("aria-expanded", String(open));
      if (open) one('[role="tab"][aria-selected="true"]').focus();
      else one("button.tools").focus();
    },
    tab: (chosen) => {
      for (const tab of document.querySelectorAll('[role="tab"]')) {
        const on = tab === chosen;
        tab.setAttribute("aria-selected", String(on));
        tab.tabIndex = on ? 0 : -1;
        document.getElementById(tab.getAttribute("aria-controls")).hidden = !on;
      }
      view.journal = chosen.id === "tab-journal";
      ask();
    },
    compose: () => {
      one("#compose .wrong").hidden = true;
      one("#compose").showModal();
      one("#compose-from").focus();
    },
    "compose-close": () => one("#compose").close(),
  };

  const sendings = {
    answer: (form) => {
      const text = form.elements.text.value;
      if (!text.trim()) return;
      attempt(async () => {
        await tell("messages", { ...way(), body: text });
        form.reset();
        fit(form.elements.text);
        Object.assign(view, { first: "", last: "" });
        thread.scrollTop = thread.scrollHeight;
        say("Sent");
      });
    },
    arm: (form) => {
      const { fault, n, of } = form.elements;
      attempt(() => tell("faults", { ...JSON.parse(fault.value), ...JSON.parse(of.value), n: Number(n.value) }));
    },
    "compose-send": (form) => {
      const from = form.elements.from.value.replace(/[ -]/g, "");
      attempt(async () => {
        await tell("messages", { from, to: form.elements.to.value, body: form.elements.text.value });
        form.reset();
        one("#compose").close();
        go(from);
      }, one(".wrong", form));
    },
  };

  function fit(area) {
    area.rows = Math.min(6, Math.max(1, area.value.split("\n").length));
  }

  document.addEventListener("click", (event) => {
    const phone = event.target.closest("a[data-phone]");
    if (phone && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
      event.preventDefault();
      go(phone.dataset.phone);
      if (getComputedStyle(one(".back")).display !== "none") one(".back").focus();
      return;
    }
    const button = event.target.closest("button[data-do]");
    if (button) doings[button.dataset.do](button);
  });

  document.addEventListener("submit", (event) => {
    event.preventDefault();
    sendings[event.target.dataset.do]?.(event.target);
  });

  document.addEventListener("change", (event) => {
    const field = event.target;
    if (!field.closest(".switches")) return;
    const number = () => (field.value === "" ? null : Number(field.value));
    const kinds = { flag: () => field.checked, word: () => field.value, number };
    attempt(async () => {
      try {
        await tell("quirks", { [field.name]: kinds[field.dataset.kind]() });
      } catch (error) {
        if (field.options) for (const option of field.options) option.selected = option.defaultSelected;
        else Object.assign(field, { value: field.defaultValue, checked: field.defaultChecked });
        throw error;
      }
    });
  });

  document.addEventListener("input", (event) => {
    if (event.target.id === "search") {
      view.search = event.target.value;
      view.many = "";
      ask();
    } else if (event.target.id === "journal-search") {
      view.journalSearch = event.target.value;
      view.journalMany = "";
      ask();
    } else if (event.target.tagName === "TEXTAREA" && event.target.id === "text") {
      fit(event.target);
    }
  });

  document.addEventListener("keydown", (event) => {
    const target = event.target;
    if (target.id === "text" && event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      target.form.requestSubmit();
    } else if (event.key === "Escape" && body.classList.contains("with-side") && !one("dialog[open]")) {
      doings.tools();
    } else if (target.matches("a[data-phone]") && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
      event.preventDefault();
      const all = [...document.querySelectorAll("a[data-phone]")];
      all[all.indexOf(target) + (event.key === "ArrowDown" ? 1 : -1)]?.focus();
    } else if (target.id === "search" && event.key === "ArrowDown") {
      event.preventDefault();
      one("a[data-phone]")?.focus();
    } else if (target.matches('[role="tab"]') && (event.key === "ArrowLeft" || event.key === "ArrowRight")) {
      const other = one('[role="tab"][aria-selected="false"]');
      doings.tab(other);
      other.focus();
    }
  });

  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) ask();
  });
  addEventListener("popstate", follow);
  addEventListener("hashchange", () => location.hash.length > 1 && follow());

  document.querySelectorAll("[data-part]").forEach(note);
  read.load();
  thread.dataset.phone = view.phone;
  layOut();
  thread.scrollTop = thread.scrollHeight;
  markRead();
  body.classList.add("with-script");
  if (location.hash.length > 1) follow();
  else ask();
})();
