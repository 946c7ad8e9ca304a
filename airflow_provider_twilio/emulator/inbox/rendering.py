"""Templates and static files of the page, and the filters that format values for people."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zlib import crc32

if TYPE_CHECKING:
    from jinja2 import Environment

FOLDER = Path(__file__).parent
STATIC_FILES = {
    "style.css": "text/css; charset=utf-8",
    "script.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
"""Content type of each file that a browser may load."""
HUES = 8
"""Number of avatar colors in ``style.css``."""


def render(name: str, **values: Any) -> str:
    """Return the HTML of a template."""
    return str(_environment().get_template(name).render(**values))


@cache
def static_file(name: str) -> bytes:
    return (FOLDER / name).read_bytes()


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Callable[..., Any]] = {
        "time": format_time,
        "date_time": format_date_time,
        "phone_number": format_phone_number,
        "resource": shorten_path,
        "hue": hue,
        "initials": initials,
    }
    environment.filters.update(filters)
    return environment


def format_time(timestamp: float, seconds: bool = False) -> str:
    """Return a time of day in this machine's time zone, which is the browser's too."""
    return _local(timestamp).strftime("%H:%M:%S" if seconds else "%H:%M")


def format_date_time(timestamp: float) -> str:
    local = _local(timestamp)
    return f"{local:%a} {local.day} {local:%b %Y, %H:%M:%S}"


def format_day(timestamp: float, now: float) -> str:
    """Return the heading of a day in a conversation."""
    day, today = _local(timestamp).date(), _local(now).date()
    if day == today:
        return "Today"
    if (today - day).days == 1:
        return "Yesterday"
    return f"{day:%A}, {day.day} {day:%B %Y}" if day.year != today.year else f"{day:%A}, {day.day} {day:%B}"


def format_phone_number(number: str) -> str:
    """Return a North American number with spaces, and any other number unchanged."""
    if number.startswith("+1") and len(number) == 12:
        return f"{number[:2]} {number[2:5]} {number[5:8]} {number[8:]}"
    return number


def shorten_path(path: str) -> str:
    """Return a path without the API version and account SID."""
    parts = path.split("/")
    if path.startswith("/2010-04-01/Accounts/") and len(parts) > 4:
        return "/".join(parts[4:])
    return path


def hue(number: str) -> int:
    """Return the avatar color of a number."""
    return crc32(number.encode("utf-8", "surrogatepass")) % HUES


def initials(number: str) -> str:
    return number[-2:]


def _local(timestamp: float) -> datetime:
    return datetime.fromtimestamp(timestamp, UTC).astimezone()
