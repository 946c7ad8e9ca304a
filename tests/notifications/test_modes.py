"""The requests of a notifier within its time budget."""

from __future__ import annotations

import time

import pytest

from airflow_provider_twilio.notifications import modes
from airflow_provider_twilio.notifications.twilio import NotificationFailed, TwilioNotifier
from tests.notifications.conftest import (
    ALSO,
    OWNED,
    RUN,
    TO,
    Notify,
    RecordingNotifier,
    dag_context,
    task_context,
)
from tests.support.scripted import ScriptedResponse, ScriptedServer, Stall


def test_notifier_outside_task_limits_retries(notify: Notify, monkeypatch: pytest.MonkeyPatch):
    with ScriptedServer(ScriptedResponse(503, {}), repeat=True) as server:
        monkeypatch.setenv("AIRFLOW_CONN_TWILIO_DEFAULT", f"twilio://AC{'a' * 32}:token@127.0.0.1:{server.port}")
        with pytest.raises(NotificationFailed):
            notify(TwilioNotifier(to=TO, from_=OWNED, max_per_hour=1), dag_context())
        assert (server.count("GET"), server.count("POST")) == (2, 1)


def test_notifier_outside_task_after_failure_does_not_retry(notify: Notify, monkeypatch: pytest.MonkeyPatch):
    with ScriptedServer(ScriptedResponse(503, {}), repeat=True) as server:
        monkeypatch.setenv("AIRFLOW_CONN_TWILIO_DEFAULT", f"twilio://AC{'a' * 32}:token@127.0.0.1:{server.port}")
        with pytest.raises(NotificationFailed):
            notify(TwilioNotifier(to=[TO, ALSO], from_=OWNED, max_per_hour=1), dag_context())
        assert (server.count("GET"), server.count("POST")) == (3, 2)  # the second recipient's history is not retried


def test_notifier_after_failure_waits_less_for_next_recipient(notify: Notify, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(modes.CALLBACK_LIMITS, "timeout", 1.0)
    monkeypatch.setitem(modes.LIMITS_AFTER_FAILURE, "timeout", 0.2)
    with ScriptedServer(Stall(4), repeat=True) as server:
        monkeypatch.setenv("AIRFLOW_CONN_TWILIO_DEFAULT", f"twilio://AC{'a' * 32}:token@127.0.0.1:{server.port}")
        started = time.monotonic()
        with pytest.raises(NotificationFailed):
            notify(TwilioNotifier(to=[TO, ALSO], from_=OWNED), task_context())
        assert 1.2 <= time.monotonic() - started < 1.9
        assert server.count("POST") == 2


def test_notifier_outside_task_leaves_time_for_fallback(notify: Notify, monkeypatch: pytest.MonkeyPatch):
    notifier = TwilioNotifier(to=[TO, ALSO], from_=OWNED, fallback=RecordingNotifier())
    notifier.time_budget = 3
    with ScriptedServer(Stall(4), repeat=True) as server:
        monkeypatch.setenv("AIRFLOW_CONN_TWILIO_DEFAULT", f"twilio://AC{'a' * 32}:token@127.0.0.1:{server.port}")
        with pytest.raises(NotificationFailed, match="the time budget of the notifier is used up"):
            notify(notifier, dag_context())
        assert server.count("POST") == 1
    assert RecordingNotifier.notified == [("", RUN)]
