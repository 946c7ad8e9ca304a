"use strict";
// Keeps the page up to date: polls the server for the parts that have changed, and replaces their elements.
// This script writes no HTML. All HTML comes from the server's templates, which escape it.
(() => {
  const POLL_INTERVAL = 500; // milliseconds
  const ALERT_TIME = 6000; // milliseconds
  const CONFIRM_TIME = 4000; // milliseconds
  const PAGE_SIZE = 60;
  const MORE_ROWS = 120;
  const UNREACHABLE = "Cannot reach the emulator.";
  const body = document.body;
  const find = (selector, within = document) => within.querySelector(selector);
  const conversation = find("#conversation");
  const view = {
    epoch: body.dataset.epoch,
    phone: body.dataset.phone,
    first: body.dataset.first,
    last: body.dataset.last,
    search: "",
    limit: "",
    journal: false,
    journalSearch: "",
    journalLimit: "",
  };

  // ------------------------------------------------------------ read state, stored by this browser

  // The sequence number of the last item read, for each phone.
  const readState = {
    lastRead: {},
    load() {
      try {
        const stored = JSON.parse(localStorage.getItem("twilio-emulator-read") || "{}");
        this.lastRead = stored.epoch === view.epoch ? stored.lastRead || {} : {};
      } catch {
        this.lastRead = {};
      }
    },
    mark(phone, newest) {
      if ((this.lastRead[phone] || 0) >= newest) return;
      this.lastRead[phone] = newest;
      try {
        localStorage.setItem("twilio-emulator-read", JSON.stringify({ epoch: view.epoch, lastRead: this.lastRead }));
      } catch {
        // Storage can be disabled. The state then lasts until the page is closed.
      }
    },
  };

  function markRead() {
    for (const row of document.querySelectorAll("[data-newest]")) {
      const newest = Number(row.dataset.newest);
      const isDisplayed = row.dataset.key === view.phone && !view.last && !document.hidden;
      if (isDisplayed && body.classList.contains("show-conversation")) readState.mark(row.dataset.key, newest);
      row.classList.toggle("unread", newest > (readState.lastRead[row.dataset.key] || 0));
    }
  }

  // ------------------------------------------------------------ updating parts of the page

  // The HTML of each element as the server sent it: the browser's own HTML changes, for example when details open.
  const serverHtml = new WeakMap();

  function recordHtml(part) {
    for (const child of part.children) serverHtml.set(child, child.outerHTML);
  }

  // Replaces the children that differ, by key. Leaves a field that is being edited unchanged, and then returns false.
  function update(part, html) {
    const template = document.createElement("template");
    template.innerHTML = html;
    const remaining = new Map([...part.children].map((child) => [child.dataset.key, child]));
    const focused = part.contains(document.activeElement) ? document.activeElement : null;
    const focusedChild = focused && focused.closest("[data-part] > *");
    let position = part.firstElementChild;
    let refocused = null;
    let complete = true;
    for (const child of [...template.content.children]) {
      const old = remaining.get(child.dataset.key);
      remaining.delete(child.dataset.key);
      const text = child.outerHTML;
      let node = child;
      const isEdited = old && old === focusedChild && focused.matches(".quirk :is(input, select)");
      if (old && (isEdited || serverHtml.get(old) === text)) {
        node = old;
        complete = complete && serverHtml.get(old) === text;
      } else {
        serverHtml.set(child, text);
        if (old) {
          const details = find("details", old);
          if (details && details.open && find("details", child)) find("details", child).open = true;
          if (old === focusedChild) refocused = counterpart(focused, old, child);
          if (old === position) position = child;
          old.replaceWith(child);
        } else {
          child.classList.add("fresh");
        }
      }
      if (node === position) position = position.nextElementSibling;
      else part.insertBefore(node, position);
    }
    if (refocused) refocused.focus({ preventScroll: true });
    for (const removed of remaining.values()) removed.remove();
    if (focused && !focused.isConnected && document.activeElement === body) {
      const fallback = part.closest("[tabindex]") || find("button, a, input", part.parentElement);
      if (fallback) fallback.focus({ preventScroll: true });
    }
    return complete;
  }

  // Returns the element of the new child that corresponds to the focused element of the old one.
  function counterpart(focused, old, child) {
    const tag = focused.tagName;
    const index = [...old.querySelectorAll(tag)].indexOf(focused);
    return index < 0 ? child : child.querySelectorAll(tag)[index];
  }

  // ------------------------------------------------------------ polling

  let isPolling = false;
  let nextPoll = null;
  let timer = 0;

  async function poll(extra = {}) {
    if (isPolling) {
      nextPoll = { ...nextPoll, ...extra };
      return;
    }
    isPolling = true;
    clearTimeout(timer);
    const polledPhone = view.phone;
    const query = new URLSearchParams({ phone: view.phone, first: view.first, last: view.last, q: view.search });
    query.set("limit", view.limit);
    if (view.journal) {
      query.set("journal", "1");
      query.set("journal_q", view.journalSearch);
      query.set("journal_limit", view.journalLimit);
    }
    for (const [name, value] of Object.entries(extra)) query.set(name, value);
    const parts = [...document.querySelectorAll("[data-part]")];
    query.set("versions", parts.map((part) => `${part.dataset.part}:${part.dataset.version}`).join(","));
    try {
      const response = await fetch(`/_emulator/inbox/live?${query}`);
      if (!response.ok) throw new Error(`The emulator returned HTTP ${response.status}.`);
      const state = await response.json();
      if (view.phone === polledPhone || extra.sid) show(state, extra);
      showAlert("");
    } catch (error) {
      showAlert(error instanceof TypeError ? UNREACHABLE : String(error.message));
    } finally {
      isPolling = false;
      const next = nextPoll;
      nextPoll = null;
      if (next) poll(next);
      else if (!document.hidden) timer = setTimeout(poll, POLL_INTERVAL);
    }
  }

  function show(state, extra) {
    if (state.epoch !== view.epoch) {
      view.epoch = state.epoch;
      readState.load();
    }
    const switched = state.phone !== conversation.dataset.phone || Boolean(extra.sid);
    const atEnd = conversation.scrollHeight - conversation.scrollTop - conversation.clientHeight < 60;
    const anchor = switched ? null : firstVisible();
    const anchorTop = anchor && anchor.getBoundingClientRect().top;
    view.phone = state.phone;
    view.first = state.first ?? "";
    view.last = state.last ?? "";
    for (const [name, part] of Object.entries(state.parts)) {
      const element = find(`[data-part="${name}"]`);
      const selected = name === "reply" ? find("select", element)?.value : null;
      element.dataset.version = update(element, part.html) ? part.version : "";
      if (selected && find(`option[value="${CSS.escape(selected)}"]`, element)) find("select", element).value = selected;
    }
    conversation.dataset.phone = state.phone;
    if (state.parts.conversation || switched) {
      if (extra.sid && state.found) highlight(state.found);
      else if (switched || (atEnd && !view.last && !extra.more)) conversation.scrollTop = conversation.scrollHeight;
      else if (anchor && anchor.isConnected) conversation.scrollTop += anchor.getBoundingClientRect().top - anchorTop;
    }
    if (state.missing) {
      showAlert(`No message or call has the SID ${state.missing}. The emulator may have been reset.`, ALERT_TIME);
    }
    applyLayout();
    announceNewest(state);
    markRead();
  }

  function firstVisible() {
    const top = conversation.getBoundingClientRect().top;
    return [...find("[data-part=conversation]").children].find(
      (child) => child.tagName === "ARTICLE" && child.getBoundingClientRect().bottom > top,
    );
  }

  function highlight(sid) {
    find(".found")?.classList.remove("found");
    const article = document.getElementById(sid);
    if (!article) return;
    article.classList.add("found");
    article.tabIndex = -1;
    article.scrollIntoView({ block: "center" });
    article.focus({ preventScroll: true });
  }

  let newestSid = null;
  function announceNewest(state) {
    const sid = state.newest && state.newest.sid;
    if (newestSid !== null && sid && sid !== newestSid) announce(`New message or call: ${state.newest.phone}`);
    newestSid = sid || "";
  }

  // Sets the text that screen readers speak.
  function announce(text) {
    find("#announcement").textContent = text;
  }

  let alertUntil = 0;
  // Shows an error, or hides it if the text is empty; not before `duration` milliseconds have passed.
  function showAlert(text, duration = 0) {
    const element = find("#alert");
    if (!text && Date.now() < alertUntil) return;
    alertUntil = Date.now() + duration;
    if (element.textContent !== text) element.textContent = text;
    element.hidden = !text;
  }

  function applyLayout() {
    const hasPhone = Boolean(view.phone);
    body.classList.toggle("no-phone", !hasPhone);
    find(".welcome").hidden = hasPhone;
    find("form.reply").hidden = !hasPhone;
    find(".composer").hidden = !find("#reply-to");
    document.title = hasPhone ? `${view.phone} · Twilio emulator` : "Twilio emulator";
  }

  // ------------------------------------------------------------ navigation

  function openPhone(phone, push = true) {
    Object.assign(view, { phone, first: "", last: "" });
    body.classList.remove("show-phones", "show-conversation");
    body.classList.add(phone ? "show-conversation" : "show-phones");
    if (push) history.pushState(null, "", phone ? `/?phone=${encodeURIComponent(phone)}` : "/");
    applyLayout();
    poll();
  }

  function openLocation() {
    const sid = location.hash.slice(1);
    if (/^(SM|MM|CA)[0-9a-f]{32}$/.test(sid)) {
      body.classList.remove("show-phones");
      body.classList.add("show-conversation");
      poll({ sid });
    } else {
      openPhone(new URLSearchParams(location.search).get("phone") || "", false);
    }
  }

  // ------------------------------------------------------------ actions

  async function request(name, value, method = "POST") {
    const headers = value === undefined ? {} : { "Content-Type": "application/json" };
    const response = await fetch(`/_emulator/${name}`, { method, headers, body: value && JSON.stringify(value) });
    const result = await response.json();
    if (!response.ok) throw new Error(result.error || `The emulator returned HTTP ${response.status}.`);
    return result;
  }

  // Performs an action, and shows its error in an element of the form or as an alert.
  async function perform(action, errorElement = null) {
    try {
      await action();
      if (errorElement) errorElement.hidden = true;
    } catch (error) {
      const text = error instanceof TypeError ? UNREACHABLE : error.message;
      if (errorElement) {
        errorElement.textContent = text;
        errorElement.hidden = false;
      } else {
        showAlert(text, ALERT_TIME);
      }
    }
    poll();
  }

  const replyRoute = () => {
    const [to, from] = find("#reply-to").value.split(" ");
    return { to, from };
  };

  const clickHandlers = {
    "more-phones": () => {
      view.limit = String(Number(view.limit || PAGE_SIZE) + MORE_ROWS);
      poll();
    },
    "more-journal": () => {
      view.journalLimit = String(Number(view.journalLimit || PAGE_SIZE) + MORE_ROWS);
      poll();
    },
    older: () => poll({ more: "older" }),
    newer: () => poll({ more: "newer" }),
    latest: () => openPhone(view.phone, false),
    back: () => {
      const phone = view.phone;
      openPhone("");
      find(`[data-phone="${CSS.escape(phone)}"]`)?.focus();
    },
    call: () => perform(() => request("calls", { from: view.phone, to: replyRoute().to.replace(/^.*:/, "") })),
    "hang-up": (button) => perform(() => request("inbox/hang-up", { sid: button.dataset.sid })),
    press: (button) => perform(() => request(`calls/${button.dataset.sid}/digits`, { digits: button.dataset.digit })),
    "clear-faults": () => perform(() => request("faults", undefined, "DELETE")),
    advance: (button) => perform(() => request("clock", { advance: Number(button.dataset.seconds) })),
    freeze: () => perform(() => request("clock", { freeze: true })),
    resume: () => perform(() => request("clock", { freeze: false })),
    reset: (button) => {
      const confirmed = button.dataset.confirming === "yes";
      const restore = () => {
        button.dataset.confirming = "";
        button.textContent = "Reset emulator";
      };
      if (!confirmed) {
        button.dataset.confirming = "yes";
        button.textContent = "Press again to reset";
        setTimeout(restore, CONFIRM_TIME);
        return;
      }
      restore();
      perform(async () => {
        await request("reset", {});
        openPhone("");
      });
    },
    tools: () => {
      const isOpen = body.classList.toggle("tools-open");
      find("button.tools-button").setAttribute("aria-expanded", String(isOpen));
      if (isOpen) find('[role="tab"][aria-selected="true"]').focus();
      else find("button.tools-button").focus();
    },
    tab: (selected) => {
      for (const tab of document.querySelectorAll('[role="tab"]')) {
        const isSelected = tab === selected;
        tab.setAttribute("aria-selected", String(isSelected));
        tab.tabIndex = isSelected ? 0 : -1;
        document.getElementById(tab.getAttribute("aria-controls")).hidden = !isSelected;
      }
      view.journal = selected.id === "tab-journal";
      poll();
    },
    compose: () => {
      find("#compose .form-error").hidden = true;
      find("#compose").showModal();
      find("#compose-from").focus();
    },
    "compose-close": () => find("#compose").close(),
  };

  const submitHandlers = {
    reply: (form) => {
      const text = form.elements.text.value;
      if (!text.trim()) return;
      perform(async () => {
        await request("messages", { ...replyRoute(), body: text });
        form.reset();
        fitRows(form.elements.text);
        Object.assign(view, { first: "", last: "" });
        conversation.scrollTop = conversation.scrollHeight;
        announce("Message sent");
      });
    },
    "add-fault": (form) => {
      const { fault, filter, count } = form.elements;
      const value = { ...JSON.parse(fault.value), ...JSON.parse(filter.value), n: Number(count.value) };
      perform(() => request("faults", value));
    },
    "compose-send": (form) => {
      const from = form.elements.from.value.replace(/[ -]/g, "");
      perform(
        async () => {
          await request("messages", { from, to: form.elements.to.value, body: form.elements.text.value });
          form.reset();
          find("#compose").close();
          openPhone(from);
        },
        find(".form-error", form),
      );
    },
  };

  function fitRows(textarea) {
    textarea.rows = Math.min(6, Math.max(1, textarea.value.split("\n").length));
  }

  document.addEventListener("click", (event) => {
    const phone = event.target.closest("a[data-phone]");
    if (phone && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
      event.preventDefault();
      openPhone(phone.dataset.phone);
      if (getComputedStyle(find(".back")).display !== "none") find(".back").focus();
      return;
    }
    const button = event.target.closest("button[data-action]");
    if (button) clickHandlers[button.dataset.action](button);
  });

  document.addEventListener("submit", (event) => {
    event.preventDefault();
    submitHandlers[event.target.dataset.action]?.(event.target);
  });

  document.addEventListener("change", (event) => {
    const field = event.target;
    if (!field.closest(".quirks")) return;
    const number = () => (field.value === "" ? null : Number(field.value));
    const readers = { flag: () => field.checked, word: () => field.value, number };
    perform(async () => {
      try {
        await request("quirks", { [field.name]: readers[field.dataset.type]() });
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
      view.limit = "";
      poll();
    } else if (event.target.id === "journal-search") {
      view.journalSearch = event.target.value;
      view.journalLimit = "";
      poll();
    } else if (event.target.tagName === "TEXTAREA" && event.target.id === "text") {
      fitRows(event.target);
    }
  });

  document.addEventListener("keydown", (event) => {
    const target = event.target;
    if (target.id === "text" && event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      target.form.requestSubmit();
    } else if (event.key === "Escape" && body.classList.contains("tools-open") && !find("dialog[open]")) {
      clickHandlers.tools();
    } else if (target.matches("a[data-phone]") && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
      event.preventDefault();
      const links = [...document.querySelectorAll("a[data-phone]")];
      links[links.indexOf(target) + (event.key === "ArrowDown" ? 1 : -1)]?.focus();
    } else if (target.id === "search" && event.key === "ArrowDown") {
      event.preventDefault();
      find("a[data-phone]")?.focus();
    } else if (target.matches('[role="tab"]') && (event.key === "ArrowLeft" || event.key === "ArrowRight")) {
      const other = find('[role="tab"][aria-selected="false"]');
      clickHandlers.tab(other);
      other.focus();
    }
  });

  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) poll();
  });
  addEventListener("popstate", openLocation);
  addEventListener("hashchange", () => location.hash.length > 1 && openLocation());

  document.querySelectorAll("[data-part]").forEach(recordHtml);
  readState.load();
  conversation.dataset.phone = view.phone;
  applyLayout();
  conversation.scrollTop = conversation.scrollHeight;
  markRead();
  body.classList.add("with-script");
  if (location.hash.length > 1) openLocation();
  else poll();
})();
