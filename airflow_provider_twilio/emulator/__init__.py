"""A stateful emulator of Twilio for offline work: ``with serve() as emulator:`` runs one.

It shares the vocabulary of ``api`` with the client, and no code with ``client``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_twilio.emulator.server import Emulator as Emulator
    from airflow_provider_twilio.emulator.server import serve as serve

__all__ = ["Emulator", "serve"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from airflow_provider_twilio.emulator import server

        return getattr(server, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
