"""Call from an event loop what blocks, such as what asks Airflow's supervisor."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

_thread = ThreadPoolExecutor(1, thread_name_prefix="twilio-off-loop")


async def run_in_thread(function: Callable[..., T], *arguments: object) -> T:
    """Call a function in a thread that may go back to this loop: Airflow 3.1's triggerer answers only there.

    It is one thread for all, since a task of Airflow 3.1 must not ask twice at once; and one of ours, since asgiref's
    own choice may be the very thread that waits for this loop.
    """
    from asgiref.sync import sync_to_async

    return await sync_to_async(function, thread_sensitive=False, executor=_thread)(*arguments)
