"""Addresses where no instance lives, and where the console asks for nothing."""

from __future__ import annotations

import ipaddress
import socket
from functools import lru_cache

METADATA_NAMES = frozenset({"metadata.google.internal", "metadata.azure.com", "metadata"})
METADATA_ADDRESSES = frozenset(
    {"fd00:ec2::254", "100.100.100.200", "168.63.129.16", "192.0.0.192"}
)  # beside link-local
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


@lru_cache(maxsize=16_384)  # every connection of every rollout and check asks
def is_forbidden(host: str) -> bool:
    """A link-local, multicast or unspecified address, or one that clouds hand out credentials at."""
    address = _address(host.partition("%")[0])
    if address is None:
        return host.lower().rstrip(".") in METADATA_NAMES
    if isinstance(address, ipaddress.IPv6Address):
        address = _inner(address) or address
    known = str(address) in METADATA_ADDRESSES
    return known or address.is_link_local or address.is_multicast or address.is_unspecified


def _inner(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that packets to this one end at: mapped, translated (RFC 6052) or tunnelled (RFC 3056)."""
    if address in NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        pass
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host))  # 2852039166 and 0xA9.0xFE43518 lead somewhere, too
    except (OSError, UnicodeError):
        return None
