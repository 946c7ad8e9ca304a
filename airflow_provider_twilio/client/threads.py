"""Calls of blocking functions from an event loop, such as requests to Airflow's supervisor."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

_executor = ThreadPoolExecutor(1, thread_name_prefix="twilio-blocking")


async def run_in_thread(function: Callable[..., T], *arguments: object) -> T:
    """Call a blocking function in a thread, and return its result.

    The function may itself call back to this event loop, where Airflow 3.1's triggerer responds. All calls share one
    thread, since a task of Airflow 3.1 must not send two requests to the supervisor at once. asgiref's own threads are
    not used: one of them may be the thread that waits for this event loop.
    """
    from asgiref.sync import sync_to_async

    return await sync_to_async(function, thread_sensitive=False, executor=_executor)(*arguments)
