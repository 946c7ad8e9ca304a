"""The phone numbers for sale, by country, type and area. They are the same in every run.

All of them are in ranges reserved for fiction, so that none of them belongs to anyone.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

NUMBER_TYPES = {
    "Local": "local", "TollFree": "toll_free", "Mobile": "mobile", "National": "national", "Voip": "voip",
    "SharedCost": "shared_cost", "MachineToMachine": "machine_to_machine",
}  # fmt: skip
_KEYPAD = str.maketrans("abcdefghijklmnopqrstuvwxyz", "22233344455566677778889999")


@dataclass(frozen=True, slots=True)
class Area:
    """A range of phone numbers, and the place that it belongs to.

    The range consists of a prefix and a number of further digits.
    """

    type: str
    prefix: str
    digits: int
    code: str = ""
    locality: str | None = None
    region: str | None = None
    postal_code: str | None = None
    rate_center: str | None = None
    lata: str | None = None
    latitude: float | None = None
    longitude: float | None = None
    sms: bool = True
    mms: bool = False
    voice: bool = True
    fax: bool = False
    address: str = "none"
    beta: bool = False

    def numbers(self) -> Iterator[str]:
        """Yield the numbers for sale.

        They are every third number of the range, from a start that depends on the prefix.
        """
        first = sum(self.prefix.encode()) % 3
        for number in range(first, 10**self.digits, 3):
            yield f"{self.prefix}{number:0{self.digits}d}"

    def contains(self, number: str) -> bool:
        rest = number.removeprefix(self.prefix)
        if len(rest) != self.digits or rest == number or not rest.isdigit():
            return False
        return int(rest) % 3 == sum(self.prefix.encode()) % 3


def _us(code: str, locality: str, region: str, postal: str, lata: str, latitude: float, longitude: float) -> Area:
    return Area(
        "Local", f"+1{code}555", 4, code, locality, region, postal, locality.upper()[:10], lata, latitude, longitude,
        mms=True, fax=True,
    )  # fmt: skip


def _ca(code: str, locality: str, region: str, postal: str, latitude: float, longitude: float) -> Area:
    return Area(
        "Local", f"+1{code}555", 4, code, locality, region, postal, locality.upper(), "888", latitude, longitude,
        mms=True,
    )  # fmt: skip


COUNTRIES: dict[str, tuple[str, tuple[Area, ...]]] = {
    "US": (
        "United States",
        (
            _us("415", "San Francisco", "CA", "94103", "722", 37.7749, -122.4194),
            _us("510", "Oakland", "CA", "94601", "722", 37.8044, -122.2712),
            _us("213", "Los Angeles", "CA", "90012", "730", 34.0522, -118.2437),
            _us("212", "New York", "NY", "10001", "132", 40.7128, -74.0060),
            _us("718", "Brooklyn", "NY", "11201", "132", 40.6782, -73.9442),
            _us("312", "Chicago", "IL", "60601", "358", 41.8781, -87.6298),
            _us("305", "Miami", "FL", "33101", "460", 25.7617, -80.1918),
            _us("512", "Austin", "TX", "78701", "558", 30.2672, -97.7431),
            _us("206", "Seattle", "WA", "98101", "674", 47.6062, -122.3321),
            _us("617", "Boston", "MA", "02108", "128", 42.3601, -71.0589),
            _us("808", "Hilo", "HI", "96720", "834", 19.7200, -155.0900),
            _us("303", "Denver", "CO", "80202", "656", 39.7392, -104.9903),
            Area("TollFree", "+1800555", 4, "800", fax=True, mms=True),
            Area("TollFree", "+1888555", 4, "888", fax=True, mms=True),
            Area("TollFree", "+1833555", 4, "833", fax=True, mms=True),
        ),
    ),
    "CA": (
        "Canada",
        (
            _ca("416", "Toronto", "ON", "M5H", 43.6532, -79.3832),
            _ca("604", "Vancouver", "BC", "V5K", 49.2827, -123.1207),
            _ca("514", "Montreal", "QC", "H2Y", 45.5019, -73.5674),
            Area("TollFree", "+1855555", 4, "855"),
        ),
    ),
    "GB": (
        "United Kingdom",
        (
            Area("Local", "+4420794600", 2, locality="London", region="London", sms=False, latitude=51.5074,
                 longitude=-0.1278, address="any"),
            Area("Local", "+44113496000", 1, locality="Leeds", region="England", sms=False, address="any"),
            Area("Mobile", "+447700900", 3),
            Area("TollFree", "+44808157000", 1, sms=False),
            Area("National", "+44303123000", 1, sms=False, address="any"),
        ),
    ),
    "AU": (
        "Australia",
        (
            Area("Local", "+612555001", 2, locality="Sydney", region="NSW", sms=False, latitude=-33.8688,
                 longitude=151.2093, address="local"),
            Area("Local", "+613555001", 2, locality="Melbourne", region="VIC", sms=False, address="local"),
            Area("Mobile", "+6149157", 4, address="any"),
            Area("TollFree", "+611800975", 3, sms=False),
        ),
    ),
    "DE": (
        "Germany",
        (
            Area("Local", "+493023125", 3, locality="Berlin", region="Berlin", sms=False, latitude=52.52,
                 longitude=13.405, address="local"),
            Area("Local", "+498999998", 3, locality="München", region="Bayern", sms=False, address="local"),
            Area("Mobile", "+4917139200", 2, address="any"),
        ),
    ),
    "FR": (
        "France",
        (
            Area("Local", "+3319900", 4, locality="Paris", region="Île-de-France", sms=False, address="local"),
            Area("Mobile", "+3363998", 4, address="any"),
            Area("National", "+33999123", 3, sms=False, address="any"),
        ),
    ),
    "DK": (
        "Denmark",
        (
            Area("Mobile", "+45925555", 2, beta=True),
            Area("Local", "+45335555", 2, locality="København", sms=False, address="any"),
        ),
    ),
}  # fmt: skip


def area_of(number: str) -> tuple[str, Area] | None:
    """Return the country and the area of a number; None if it is not for sale."""
    for country, (_, areas) in COUNTRIES.items():
        for area in areas:
            if area.contains(number):
                return country, area
    return None


def compile_filter(contains: str) -> re.Pattern[str] | None:
    """Compile a filter on phone numbers; return None if it is invalid.

    The filter matches anywhere in a number.

    A filter has up to 16 characters: digits, letters as on a keypad, ``*`` for one digit, and ``%`` for any digits. The
    parts between ``%`` match at their first occurrence, without backtracking, so that no filter is slow.
    """
    digits = contains.lower().translate(_KEYPAD)
    if not re.fullmatch(r"[0-9*%+]{1,16}", digits):
        return None
    parts = digits.replace("*", "[0-9]").replace("+", r"\+").split("%")
    return re.compile("".join(f"(?>.*?{part})" for part in parts))


def distance(one: tuple[float, float], other: tuple[float, float]) -> float:
    """Return the distance between two places in miles."""
    (a, b), (c, d) = ((math.radians(x), math.radians(y)) for x, y in (one, other))
    h = math.sin((c - a) / 2) ** 2 + math.cos(a) * math.cos(c) * math.sin((d - b) / 2) ** 2
    return 3958.8 * 2 * math.asin(min(math.sqrt(h), 1.0))


def render_available_number(country: str, area: Area, number: str, friendly_name: str) -> dict[str, Any]:
    """Return the JSON form of a number for sale."""
    return {
        "friendly_name": friendly_name,
        "phone_number": number,
        "lata": area.lata,
        "locality": area.locality,
        "rate_center": area.rate_center,
        "latitude": None if area.latitude is None else f"{area.latitude:.6f}",
        "longitude": None if area.longitude is None else f"{area.longitude:.6f}",
        "region": area.region,
        "postal_code": area.postal_code,
        "iso_country": country,
        "address_requirements": area.address,
        "beta": area.beta,
        "capabilities": {"voice": area.voice, "sms": area.sms, "mms": area.mms},
    }
