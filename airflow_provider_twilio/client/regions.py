"""Twilio's regions and edges: where requests are processed, and where they enter Twilio's network.

https://www.twilio.com/docs/global-infrastructure
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from airflow_provider_twilio.api.errors import BadParameter
from airflow_provider_twilio.client.extras import BadConnection

EDGES: Mapping[str, str] = {"us1": "ashburn", "ie1": "dublin", "au1": "sydney", "jp1": "tokyo"}
"""The default edge of each region that processes requests."""

LEGACY_REGIONS: Mapping[str, str] = {
    "us2": "umatilla",
    "br1": "sao-paulo",
    "de1": "frankfurt",
    "jp2": "osaka",
    "sg1": "singapore",
}
"""Former names of regions that process nothing, and the edge that each one stood for."""

DEFAULT_REGION = "us1"

_US_ONLY = frozenset(
    {
        *("bulkexports", "flex-api", "insights", "intelligence", "notify", "proxy", "supersim", "sync", "verify"),
        *("video", "wireless"),
    }
)
MISSING_PRODUCTS: Mapping[str, frozenset[str]] = {
    "ie1": _US_ONLY,
    "au1": _US_ONLY
    | {"chat", "content", "conversations", "lookups", "messaging", "serverless", "studio", "taskrouter"},
}
"""Products, by the first part of their host name, that a region does not offer."""


def parse_region(conn_id: str, region: str | None, edge: str | None) -> tuple[str | None, str | None]:
    """Return the region and edge of a connection, of which either may be derived.

    A region alone implies its own edge. An edge alone implies the region us1: an edge is only where requests enter
    Twilio's network, so it must not move the processing to another region.

    :raises BadConnection: If the region does not exist, or a name is invalid.
    """
    for name, value in (("region", region), ("edge", edge)):
        if value is not None and not re.fullmatch(r"[a-z0-9-]+", value):
            raise BadConnection(
                f"connection {conn_id}, extra {name}", "is not a valid name", "give one such as ie1 or dublin"
            )
    if region is None:
        return (None, None) if edge is None else (DEFAULT_REGION, edge)
    parameter = f"connection {conn_id}, extra region"
    if region in LEGACY_REGIONS:
        raise BadConnection(
            parameter,
            f"is {region}, a former name that is not a region that processes requests",
            f"use us1, ie1 or au1; to send requests to us1 by this edge, set only the extra edge to"
            f" {LEGACY_REGIONS[region]}",
        )
    if region in (*EDGES.values(), *LEGACY_REGIONS.values()):
        raise BadConnection(
            parameter, f"is {region}, which is an edge", "set the extra edge to it, and the region to us1, ie1 or au1"
        )
    if region in EDGES or edge is not None:
        return region, edge or EDGES[region]
    raise BadConnection(
        parameter,
        f"is {region}, which is unknown, and the extra edge is missing",
        "use us1, ie1 or au1, or set both extras for a region that Twilio has added",
    )


def check_product(region: str, product: str, path: str) -> None:
    """Check that a region offers a product.

    :param product: First part of the product's host name, such as ``api`` or ``messaging``.
    :param path: Path of the request, since the host ``api`` has several products.
    :raises BadParameter: If the region does not offer it.
    """
    missing = MISSING_PRODUCTS.get(region, frozenset())
    if product == "api" and "messaging" in missing and re.search(r"/Messages(/|\.json|$)", path):
        product = "messaging"
    if product in missing:
        raise BadParameter(
            "path",
            f"is of the product {product}, which the region {region} does not offer",
            "use a connection to us1, with credentials of that region; no request was sent",
        )
