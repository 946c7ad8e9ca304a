"""The retry policy: what is retried, when, and what is not; and what an older Airflow says to it."""

from __future__ import annotations

import pickle
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG

from airflow_provider_twilio._airflow.retry_policy import RetryDecision
from airflow_provider_twilio.api import errors
from airflow_provider_twilio.api.messages import Messages
from airflow_provider_twilio.emulator import Emulator
from airflow_provider_twilio.hooks.twilio import TwilioHook
from airflow_provider_twilio.operators.messages import FetchMessageOperator
from airflow_provider_twilio.retry_policy import TwilioRetryPolicy, twilio_retry_policy

IS_3_3 = hasattr(RetryDecision, "retry")
needs_3_3 = pytest.mark.skipif(not IS_3_3, reason="retry policies came with Airflow 3.3")

RETRIED = [errors.RateLimited, errors.ServerError, errors.NotSent]
FAILED = [
    errors.InvalidRequest,
    errors.AuthenticationFailed,
    errors.PermissionDenied,
    errors.NotFound,
    errors.OptedOut,
    errors.OutcomeUnknown,
    errors.OutcomeUnresolved,
    errors.AmbiguousOutcome,
]


def decide(error: BaseException, **context: Any) -> Any:
    return twilio_retry_policy().evaluate(error, 1, 3, context)


@needs_3_3
def test_every_error_is_decided_on():
    def below(kind: type[Exception]) -> set[type[Exception]]:
        return {kind, *(deeper for sub in kind.__subclasses__() for deeper in below(sub))}

    named = {kind for kind in below(errors.TwilioError) if kind.__module__ == errors.__name__}
    assert named - {errors.TwilioError, errors.BadParameter} == {*RETRIED, *FAILED}


@needs_3_3
@pytest.mark.parametrize("kind", RETRIED)
def test_what_can_come_right_is_retried_by_the_tasks_own_delay(kind: type[errors.TwilioError]):
    decision = decide(kind("text"))
    assert (decision.action.value, decision.retry_delay) == ("retry", None)
    assert decision.reason == f"{kind.__name__}: a retry may succeed"


@needs_3_3
def test_a_rate_limit_is_retried_when_twilio_says():
    decision = decide(errors.RateLimited("text", retry_after=90.0))
    assert (decision.action.value, decision.retry_delay) == ("retry", timedelta(seconds=90))


@needs_3_3
@pytest.mark.parametrize("kind", FAILED)
def test_what_would_fail_again_fails(kind: type[errors.TwilioError]):
    assert decide(kind("text")).action.value == "fail"


@needs_3_3
def test_an_unknown_outcome_is_settled_by_the_next_try_where_the_hook_sends_once(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("AIRFLOW_CONN_TWILIO_DEFAULT", f"{emulator.connection_uri}/?timeout=1")
    hook, request = TwilioHook(), Messages.create(to="+14155550100", from_="+15005550006", body="x")
    facts = {"dag_id": "dag", "run_id": "run", "task_id": "alert", "map_index": -1, "try_number": 1, "max_tries": 3}
    context = {"ti": SimpleNamespace(**facts, xcom_push=lambda **_: None, xcom_pull=lambda **_: [])}
    emulator.fail_next(3, drop=True, method="POST")
    with pytest.raises(errors.OutcomeUnknown) as lost:
        hook.send_once(context, request, reconcile_timeout=0)
    assert decide(lost.value, **context).action.value == "retry"
    assert decide(pickle.loads(pickle.dumps(lost.value))).action.value == "retry"
    with pytest.raises(errors.OutcomeUnknown) as lost:
        hook.client.send(request)
    assert decide(lost.value, **context).action.value == "fail"


@needs_3_3
def test_the_error_may_stand_behind_another():
    error = LookupError("the task's own")
    error.__cause__ = errors.RateLimited("text", retry_after=5.0)
    assert decide(error).retry_delay == timedelta(seconds=5)


@needs_3_3
def test_other_errors_are_left_to_the_task():
    assert decide(ValueError("text")).action.value == "default"


@needs_3_3
def test_it_passes_through_a_serialized_dag():
    from airflow.serialization.serialized_objects import DagSerialization

    def serialized() -> Any:
        with DAG("dag", schedule=None, default_args={"retry_policy": twilio_retry_policy()}) as dag:
            FetchMessageOperator(task_id="fetch", message_sid="{{ sid }}", retries=3)
            FetchMessageOperator.partial(task_id="mapped").expand(message_sid=["a", "b"])
        return DagSerialization.to_dict(dag)

    there = serialized()
    back: Any = DagSerialization.from_dict(there)
    assert back.get_task("fetch").has_retry_policy
    assert "TwilioRetryPolicy object at" not in str(there)
    assert there == serialized()  # else each parse would make a new version of the DAG
    policy = twilio_retry_policy()
    assert isinstance(TwilioRetryPolicy.deserialize(policy.serialize()), TwilioRetryPolicy)


@pytest.mark.skipif(IS_3_3, reason="this Airflow has retry policies")
def test_an_older_airflow_says_what_it_needs():
    with pytest.raises(RuntimeError, match=r"needs Airflow 3\.3 or later"):
        twilio_retry_policy()
