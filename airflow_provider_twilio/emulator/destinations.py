"""Addresses that the emulator may send callbacks to."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

POLICIES = ("local", "any", "none")
"""Values of the ``callbacks`` quirk."""
METADATA_NAMES = frozenset(
    {"metadata", "metadata.google.internal", "metadata.goog", "instance-data", "instance-data.ec2.internal"}
)
"""Names of cloud metadata services, which hand out credentials of the machine."""

_METADATA_ADDRESSES = tuple(
    ip_network(network)
    for network in (
        "100.100.100.200/32",  # Alibaba Cloud
        "168.63.129.16/32",  # Azure
        "192.0.0.192/32",  # Oracle Cloud
        "fd00:ec2::/32",  # AWS
        "fd00:42::42/128",  # Scaleway
        "fd20:ce::/64",  # Google Cloud
    )
)
_SHARED_ADDRESSES = ip_network("100.64.0.0/10")  # RFC 6598: some clusters and VPNs use them for their members
_TRANSLATED_ADDRESSES = ip_network("64:ff9b::/96")  # RFC 6052


def is_address_allowed(policy: str, address: IPv4Address | IPv6Address) -> bool:
    """Return whether a policy allows callbacks to an address.

    No policy allows link-local addresses and those of cloud metadata services.

    :param policy: The ``callbacks`` quirk.
    """
    address = _embedded_address(address)
    if address.is_link_local or any(address in network for network in _METADATA_ADDRESSES):
        return False
    if policy == "local":
        return address.is_loopback or address.is_private or address in _SHARED_ADDRESSES
    return policy == "any"


def _embedded_address(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Return the IPv4 address that an IPv6 address stands for, if any; otherwise the address."""
    if isinstance(address, IPv4Address):
        return address
    if address in _TRANSLATED_ADDRESSES:
        return ip_address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


def is_private_name(host: str) -> bool:
    """Return whether a name cannot be in the public DNS.

    Such a name has no dots, or belongs to a reserved domain.
    """
    return ("." not in host and ":" not in host) or host.endswith((".localhost", ".local", ".internal", ".test"))
