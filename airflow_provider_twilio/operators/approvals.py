"""The operator that asks a person for approval by message, and branches on the reply."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn, Unpack

from airflow_provider_twilio._airflow.compat import (
    AirflowFailException,
    AirflowSkipException,
    DownstreamTasksSkipped,
    conf,
    skip_all_except,
)
from airflow_provider_twilio._airflow.deferral import ResumesAtDeadline, store_wait, stored_wait
from airflow_provider_twilio._airflow.outcome import fail_on_permanent_errors
from airflow_provider_twilio._airflow.templates import parse_rendered
from airflow_provider_twilio._airflow.termination import EndsWaitOnKill
from airflow_provider_twilio.api import checks
from airflow_provider_twilio.api.errors import BadParameter, InvalidRequest, NotFound, OptedOut
from airflow_provider_twilio.api.messages import Message, Messages
from airflow_provider_twilio.api.operation import definition
from airflow_provider_twilio.api.request import Request
from airflow_provider_twilio.api.values import UNRESOLVED
from airflow_provider_twilio.defaults import RECONCILE_TIMEOUT
from airflow_provider_twilio.links.twilio import TwilioLogLink
from airflow_provider_twilio.operators._base.send_once import SendOnceOperator
from airflow_provider_twilio.privacy import mask

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_twilio._airflow.parameters import OperatorParameters
    from airflow_provider_twilio._airflow.send_once import OnClear
    from airflow_provider_twilio.runtime.idempotency.fingerprint import OnUnresolved
    from airflow_provider_twilio.runtime.polling.approvals import ApprovalSpec
    from airflow_provider_twilio.runtime.polling.events import ApprovalEvent

# The triggers and the runtime are imported where they are used: a DAG file that only names the operator should not pay
# for importing Airflow's triggers.

QUESTION_FIELDS = ("to", "question", "from_", "messaging_service_sid")
FOLLOW_KEYS = ("yes", "no", "timeout", "unreachable")


class ApproveBySmsOperator(EndsWaitOnKill, ResumesAtDeadline, SendOnceOperator):
    """Ask a phone by message for approval, and wait for its YES or NO.

    The question ends with how to reply, such as ``Reply YES 48213955 or NO 48213955 within 30 min``. A reply counts if
    it comes from that phone to the number that asked, in time, and repeats the code. After a few wrong codes, replies
    from that phone are ignored for a while.

    YES lets the downstream tasks run, and NO skips them. The task fails without retry if there is no reply in time, or
    if the phone cannot be reached or replies with STOP. ``follow`` chooses other tasks for each outcome.

    If the task, or one directly downstream, is mapped, NO skips this task itself. Its downstream tasks then run by
    their trigger rule, which is ``all_success`` by default.

    .. code-block:: python

        approval = ApproveBySmsOperator(
            task_id="approval",
            to="+14155550142",
            question="Deploy v2.3?",
            wait_timeout=1800,
            deferrable=True,
            follow={"no": "roll_back"},
        )
        approval >> [deploy, roll_back]

    ``answer`` (one of ``yes``, ``no``, ``timeout`` and ``unreachable``), ``by`` (masked), ``answered_at``, ``sid``,
    ``reply_sid`` and ``reason`` go to XCom. The question is sent exactly once, across retries, crashes and lost
    responses, and the time counts from that send.

    :param to: Phone to ask, as a number in E.164 or a channel address. (templated)
    :param question: Text of the question, to which the instructions for the reply are added. (templated)
    :param from_: Number that asks; by default the connection's extra ``from_``. (templated)
    :param messaging_service_sid: Messaging service that chooses the number. (templated)
    :param code: Whether a reply must repeat a code of eight digits. Without a code, a bare YES counts if this is the
        only open question to that phone.
    :param follow: Tasks directly downstream to run for an outcome (``yes``, ``no``, ``timeout`` or ``unreachable``),
        such as ``{"no": "roll_back"}``. The tasks named for other outcomes are skipped. Not available if this task, or
        one directly downstream, is mapped or in a mapped task group.
    :param poll_interval: Seconds between two polls.
    :param wait_timeout: Whole seconds from the send within which a reply counts, up to a week.
    :param deferrable: Whether to wait in the triggerer, which takes no worker slot; by default the setting
        ``[operators] default_deferrable``.
    :param once: Whether all tries of the task together send the question once. If ``False``, every try sends it.
    :param on_clear: Whether a task that a user clears sends the question again (``resend``), or returns the record of
        the message that it has already sent (``skip``).
    :param on_unresolved: Whether to ``resend`` (default) or ``fail`` if the outcome of an earlier try is unknown and
        Twilio lists no matching record.
    :param reconcile_timeout: Seconds after the connection timeout during which Twilio's list is polled before a message
        of an earlier try is considered not sent.
    :param twilio_conn_id: Airflow connection. (templated)
    :param account_sid: Account to act on, if it is not the connection's own. (templated)

    https://www.twilio.com/docs/messaging/api/message-resource#create-a-message-resource
    """

    _extra_template_fields = QUESTION_FIELDS
    template_fields = (*QUESTION_FIELDS, "twilio_conn_id", "account_sid")
    operator_extra_links = (TwilioLogLink(),)
    inherits_from_skipmixin = True
    ui_color = "#e6e0f8"
    _code: str | None = None

    to: str
    question: str
    from_: str | None
    messaging_service_sid: str | None
    code: bool
    follow: Mapping[str, str | Sequence[str]] | None
    poll_interval: float
    wait_timeout: float
    deferrable: bool

    def __init__(
        self,
        *,
        to: str,
        question: str,
        from_: str | None = None,
        messaging_service_sid: str | None = None,
        code: bool = True,
        follow: Mapping[str, str | Sequence[str]] | None = None,
        poll_interval: float = 30.0,
        wait_timeout: float = 3600.0,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        once: bool = True,
        on_clear: OnClear = "resend",
        on_unresolved: OnUnresolved | None = None,
        reconcile_timeout: float = RECONCILE_TIMEOUT,
        twilio_conn_id: str = "twilio_default",
        account_sid: str | None = None,
        **kwargs: Unpack[OperatorParameters],
    ) -> None:
        super().__init__(twilio_conn_id=twilio_conn_id, account_sid=account_sid, **kwargs)
        self._set_arguments(locals())

    @classmethod
    def _check_parameters(cls, values: Mapping[str, Any]) -> None:
        from airflow_provider_twilio.runtime.approval import MAX_QUESTION_SECONDS

        super()._check_parameters(values)
        timeout = values["wait_timeout"]
        for name in ("poll_interval", "wait_timeout"):
            checks.positive_seconds(name, values[name])
        if timeout is not UNRESOLVED and (not 1 <= timeout <= MAX_QUESTION_SECONDS or timeout != int(timeout)):
            raise BadParameter("wait_timeout", f"is {timeout}", f"give whole seconds, 1 to {MAX_QUESTION_SECONDS:.0f}")
        if values["follow"] is not UNRESOLVED:
            for name in values["follow"] or ():
                checks.choice("follow", name, FOLLOW_KEYS)
        if timeout is not UNRESOLVED:
            arguments = cls._message_arguments({name: values[name] for name in QUESTION_FIELDS}, None, timeout)
            definition(Messages.create).check(arguments)

    @classmethod
    def _message_arguments(cls, given: Mapping[str, Any], code: str | None, wait_timeout: float) -> dict[str, Any]:
        """Return the arguments of the question's message."""
        from airflow_provider_twilio.runtime.approval import Question

        checks.required(question=given["question"])
        _check_can_receive("from_", given["from_"])
        asked = Question(code, 0.0, wait_timeout)
        body = UNRESOLVED if given["question"] is UNRESOLVED else asked.format(given["question"])
        return {**{name: given[name] for name in QUESTION_FIELDS if name != "question"}, "body": body}

    def _request(self, **overrides: Any) -> Request[Message]:
        """Build the request for the question's message, which is the same in every try."""
        given = {name: parse_rendered(name, getattr(self, name), "str") or None for name in QUESTION_FIELDS}
        return Messages.create(**self._message_arguments({**given, **overrides}, self._code, self.wait_timeout))

    def _finalize_request(self, request: Request[Any]) -> Request[Any]:
        """Check the sender, which may be the connection's.

        :raises BadParameter: The sender cannot receive replies. No message was sent.
        """
        from airflow_provider_twilio.client.prepare import complete

        _check_can_receive("from_", complete(self.hook.client.settings, request).get("From"))
        return request

    def execute(self, context: Context) -> Any:
        """Ask, and wait for the reply.

        An error that would occur again fails the task without retry.
        """
        from airflow_provider_twilio.runtime.polling.approvals import check_reply_once, wait_for_reply_blocking
        from airflow_provider_twilio.runtime.polling.events import approval_event, wait_event

        with fail_on_permanent_errors():
            if self.follow and self._involves_mapped_tasks(context):
                remedy = "leave it out, or put an EmptyOperator between the question and the mapped tasks"
                raise BadParameter("follow", "is given, but the task or one directly downstream is mapped", remedy)
            self._code = self._derive_code(context) if self.code else None
            self._approval_spec(time.time())  # invalid parameters must fail the task before anything is sent
            try:
                record = Message(self._send_request(context))
            except BadParameter:
                raise
            except (OptedOut, InvalidRequest) as error:
                return self._finish(
                    context, approval_event(wait_event("", "failed", f"Twilio rejected the question: {error}"))
                )
            if not record.get("sid"):  # the downstream tasks would be no dry run, so nothing may approve them
                return self._finish(context, approval_event(wait_event("", "failed", "dry run: no question was sent")))
            TwilioLogLink.show(context, self.hook.client.settings, record["sid"])
            asked_at = self._sent_at(context, record).timestamp()
            spec = self._approval_spec(asked_at, record["sid"], self._fetch_sender(record))
            if not self.deferrable:
                with self._waiting("a reply"):
                    event = wait_for_reply_blocking(spec, self._patient_client())
                return self._finish(context, event)
            # Airflow may have failed an earlier try because its wait ended at once. Deferring again could repeat that.
            reply = check_reply_once(spec, self.hook.client) if context["ti"].try_number > 1 else None
            if reply is not None:
                return self._finish(context, reply)
            store_wait(context, {"sid": spec.sid, "asked_at": asked_at})  # XCom: no phone number
            return self._defer(spec)

    def execute_complete(self, context: Context, event: ApprovalEvent) -> Any:
        """End the task with the trigger's event, without another request."""
        return self._finish(context, event)

    def _defer(self, spec: ApprovalSpec) -> NoReturn:
        from airflow_provider_twilio.triggers.approvals import ApprovalTrigger

        trigger = ApprovalTrigger.from_spec(spec, twilio_conn_id=self.twilio_conn_id, account_sid=self.account_sid)
        self._defer_until(spec.deadline, trigger)

    def _execute_at_deadline(self, context: Context) -> Any:
        from airflow_provider_twilio.runtime.polling.approvals import wait_for_reply_blocking

        wait = stored_wait(context)
        self._code = self._derive_code(context) if self.code else None
        spec = self._approval_spec(wait["asked_at"], wait["sid"])  # the question's record names the sender
        with fail_on_permanent_errors():
            return self._finish(context, wait_for_reply_blocking(spec, self.hook.client))

    def _approval_spec(self, asked_at: float, sid: str = "", sender: str | None = None) -> ApprovalSpec:
        """Build the description of the wait.

        :param asked_at: Time of the send, in seconds since the epoch.
        :param sid: SID of the question's message; empty to only check the parameters before the send.
        :param sender: Number that asked; None to read it from the record of the message.
        :raises BadParameter: A parameter of the wait is invalid.
        """
        from airflow_provider_twilio.runtime.polling.approvals import ApprovalSpec

        return ApprovalSpec(
            sid,
            to=self.to,
            created=asked_at,
            deadline=asked_at + self.wait_timeout,
            from_=sender,
            code=self._code,
            interval=self.poll_interval,
        )

    def _derive_code(self, context: Context) -> str:
        """Derive a code that is the same in every try of the task.

        Nobody can compute it without the credentials.
        """
        from airflow_provider_twilio.runtime.approval import CODE_LENGTH
        from airflow_provider_twilio.runtime.idempotency.fingerprint import KeyedHash

        ti = context["ti"]
        clears = ti.max_tries if self.on_clear == "resend" else 0
        identity = [ti.dag_id, ti.run_id, ti.task_id, ti.map_index, clears]
        smallest = 10 ** (CODE_LENGTH - 1)  # no leading zero, which people might leave out
        number = int(KeyedHash.from_settings(self.hook.client.settings).json(identity), 16)
        return str(smallest + number % (9 * smallest))

    def _fetch_sender(self, record: Message) -> str | None:
        """Return the number that asked, or None while Twilio has not chosen it.

        :raises BadParameter: Twilio has chosen a sender that cannot receive replies.
        """
        for pause in (0.5, 1.0, 2.0):
            if record.from_:
                break
            time.sleep(pause)
            try:
                record = self.hook.client.send(Messages.fetch(record["sid"]))
            except NotFound:  # sent just now
                continue
        _check_can_receive("the sender that Twilio has chosen", record.from_)
        return record.from_

    def _finish(self, context: Context, event: ApprovalEvent) -> Any:
        """Fail, branch, or return the result for XCom, as the outcome and ``follow`` say."""
        answer = {"timeout": "timeout", "failed": "unreachable"}.get(event["outcome"], event.get("answer"))
        reason = event.get("reason")
        self.log.info("Outcome of the question to %s: %s%s", mask(self.to), answer, f" ({reason})" if reason else "")
        follow = self.follow or {}
        if answer not in ("yes", "no") and answer not in follow:
            raise AirflowFailException(f"{'unreachable' if answer == 'unreachable' else 'not approved'}: {reason}")
        result = {
            "answer": answer,
            "by": mask(self.to) if event.get("reply_sid") else None,
            "answered_at": event.get("answered_at"),
            "sid": event["sid"] or None,
            "reply_sid": event.get("reply_sid"),
            "reason": reason,
        }
        if answer != "yes" or follow:
            self._branch(context, str(answer), follow, result)
        return result

    def _involves_mapped_tasks(self, context: Context) -> bool:
        """Return whether this task, or one directly downstream, is mapped.

        Airflow does not let a mapped task skip others, and before Airflow 3.2 no task can skip mapped ones.
        """
        downstream = [self.dag.get_task(name) for name in self.downstream_task_ids]
        return context["ti"].map_index not in (None, -1) or any(task.get_needs_expansion() for task in downstream)

    def _branch(
        self, context: Context, answer: str, follow: Mapping[str, str | Sequence[str]], result: dict[str, Any]
    ) -> None:
        """Skip the downstream tasks that the outcome does not choose.

        Skipping ends this task with an exception, so the result is pushed to XCom first.

        :raises AirflowSkipException: A mapped task is involved, so that this task is skipped itself.
        """
        if self.do_xcom_push:
            context["ti"].xcom_push(key="return_value", value=result)
        by_outcome = {name: [tasks] if isinstance(tasks, str) else list(tasks) for name, tasks in follow.items()}
        chosen = by_outcome.get(answer)
        if chosen is None and answer == "yes":
            named = {task for tasks in by_outcome.values() for task in tasks}
            chosen = [task for task in sorted(self.downstream_task_ids) if task not in named]
        is_mapped = self._involves_mapped_tasks(context)
        with suppress(*[DownstreamTasksSkipped] if is_mapped else ()):
            skip_all_except(context, chosen or None)
        if is_mapped:
            raise AirflowSkipException(f"outcome of the question to {mask(self.to)}: {answer}")


def _check_can_receive(name: str, sender: str | None) -> None:
    """Require a sender that can receive replies, which an alphanumeric sender cannot.

    :raises BadParameter: The sender is alphanumeric.
    """
    if sender is None or sender is UNRESOLVED or ":" in sender or not any(letter.isalpha() for letter in sender):
        return
    raise BadParameter(name, "is alphanumeric and cannot receive replies", "ask from a number or a short code")
