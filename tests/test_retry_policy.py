"""Tests of the retry policy: which errors are retried, and when; and its error before Airflow 3.3."""

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
needs_3_3 = pytest.mark.skipif(not IS_3_3, reason="requires Airflow 3.3")

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
def test_retry_policy_covers_every_error():
    def tree(error_type: type[Exception]) -> set[type[Exception]]:
        return {error_type, *(nested for subclass in error_type.__subclasses__() for nested in tree(subclass))}

    public = {error_type for error_type in tree(errors.TwilioError) if error_type.__module__ == errors.__name__}
    assert public - {errors.TwilioError, errors.BadParameter} == {*RETRIED, *FAILED}


@needs_3_3
@pytest.mark.parametrize("error_type", RETRIED)
def test_retry_policy_retries_temporary_error_after_retry_delay(error_type: type[errors.TwilioError]):
    decision = decide(error_type("text"))
    assert (decision.action.value, decision.retry_delay) == ("retry", None)
    assert decision.reason == f"{error_type.__name__}: a retry may succeed"


@needs_3_3
def test_retry_policy_retries_rate_limit_after_retry_after():
    decision = decide(errors.RateLimited("text", retry_after=90.0))
    assert (decision.action.value, decision.retry_delay) == ("retry", timedelta(seconds=90))


@needs_3_3
@pytest.mark.parametrize("error_type", FAILED)
def test_retry_policy_fails_on_permanent_error(error_type: type[errors.TwilioError]):
    assert decide(error_type("text")).action.value == "fail"


@needs_3_3
def test_retry_policy_retries_unknown_outcome_of_send_once_only(
    twilio_emulator: Emulator, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("AIRFLOW_CONN_TWILIO_DEFAULT", f"{twilio_emulator.connection_uri}/?timeout=1")
    hook, request = TwilioHook(), Messages.create(to="+14155550100", from_="+15005550006", body="x")
    facts = {"dag_id": "dag", "run_id": "run", "task_id": "alert", "map_index": -1, "try_number": 1, "max_tries": 3}
    context = {"ti": SimpleNamespace(**facts, xcom_push=lambda **_: None, xcom_pull=lambda **_: [])}
    twilio_emulator.fail_next(3, drop=True, method="POST")
    with pytest.raises(errors.OutcomeUnknown) as lost:
        hook.send_once(context, request, reconcile_timeout=0)
    assert decide(lost.value, **context).action.value == "retry"
    assert decide(pickle.loads(pickle.dumps(lost.value))).action.value == "retry"
    with pytest.raises(errors.OutcomeUnknown) as lost:
        hook.client.send(request)
    assert decide(lost.value, **context).action.value == "fail"


@needs_3_3
def test_retry_policy_finds_cause_of_error():
    error = LookupError("the task's own")
    error.__cause__ = errors.RateLimited("text", retry_after=5.0)
    assert decide(error).retry_delay == timedelta(seconds=5)


@needs_3_3
def test_retry_policy_leaves_other_errors_to_the_task():
    assert decide(ValueError("text")).action.value == "default"


@needs_3_3
def test_retry_policy_survives_dag_serialization():
    from airflow.serialization.serialized_objects import DagSerialization

    def serialized() -> Any:
        with DAG("dag", schedule=None, default_args={"retry_policy": twilio_retry_policy()}) as dag:
            FetchMessageOperator(task_id="fetch", message_sid="{{ sid }}", retries=3)
            FetchMessageOperator.partial(task_id="mapped").expand(message_sid=["a", "b"])
        return DagSerialization.to_dict(dag)

    first = serialized()
    dag: Any = DagSerialization.from_dict(first)
    assert dag.get_task("fetch").has_retry_policy
    assert "TwilioRetryPolicy object at" not in str(first)
    assert first == serialized()  # Otherwise each parse would create a new DAG version.
    policy = twilio_retry_policy()
    assert isinstance(TwilioRetryPolicy.deserialize(policy.serialize()), TwilioRetryPolicy)


@pytest.mark.skipif(IS_3_3, reason="requires Airflow before 3.3")
def test_retry_policy_before_airflow_3_3_raises():
    with pytest.raises(RuntimeError, match=r"need Airflow 3\.3 or later"):
        twilio_retry_policy()
