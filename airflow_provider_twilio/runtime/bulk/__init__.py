"""Bulk sending: many requests in one task, rate-limited, resumed after a crash, each with an outcome of its own.

=================  =====================================================================================
Module             Contents
=================  =====================================================================================
``engine``         Execution of a stream of requests: concurrency, retries, outcomes
``items``          The work items of a run, and their outcomes
``source``         Reading of items, in batches and ahead of their use
``pace``           Limits of the concurrency and of the rate
``backoff``        Pauses after errors that affect every request
``sender_queue``   Handling of sender queues that overflow (21611)
``checkpoints``    Resumption after a crash, without a duplicate and without a gap
``stored``         Stored form of checkpoints and outcomes
``leases``         Periods in which each process may have been sending
``repair``         Choice of the messages to send again after a failure
``reconcile``      Search for messages that may have been sent before a crash, and their statuses
``cancel``         Cancellation of scheduled messages
``rows``           Recipients from a list or file, and the canonical form of their numbers
``plan``           The message of each row, and the checks before the first message is sent
``results``        The results table, one line for each row
``progress``       Progress in the log or in a terminal
``gc_tuning``      Fewer garbage collections during a run
=================  =====================================================================================

Nothing here imports Airflow: the client and the state store are injected.
"""
