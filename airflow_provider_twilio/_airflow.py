"""What differs between Airflow 3.1, 3.2 and 3.3: the only feature detection."""

from __future__ import annotations

try:
    from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException, TaskDeferred
except ImportError:  # before 3.2
    from airflow.exceptions import (  # type: ignore[no-redef,attr-defined,unused-ignore]
        AirflowFailException,
        AirflowSkipException,
        TaskDeferred,
    )

try:
    from airflow.sdk import conf
except ImportError:  # before 3.2
    from airflow.configuration import conf  # type: ignore[assignment,no-redef,attr-defined,unused-ignore]

__all__ = ["AirflowFailException", "AirflowSkipException", "TaskDeferred", "conf"]
