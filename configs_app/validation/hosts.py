"""Hosts and ports as the service checks them: at reload for five types, later for the rest. Reference: section 7."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

LONGEST = 253
_NAME = re.compile(r"[\w.-]+\Z")
_METADATA = ("metadata.google.internal", "metadata.azure.com", "metadata.cloud.ibm.com", "169.254.169.254")
_SHELL = re.compile(r"[;|&$`(){}<>?*!\\]")


@dataclass(frozen=True, slots=True)
class Target:
    """What decides on an instance: its flags. The service's own defaults."""

    private: bool = False  # ALLOW_PRIVATE_IP_CONNECTIONS=true
    localhost: bool = False  # ALLOW_LOCALHOST_FOR_TESTS=true


def host_problem(value: object, target: Target) -> str:
    """Why the reload of a checked type refuses this host, or nothing."""
    if not isinstance(value, str) or not value.strip():
        return "is empty"
    host = value.strip()
    low = host.lower()
    if len(host) > LONGEST:
        return f"is longer than {LONGEST} characters"
    if low in {"localhost", "127.0.0.1", "0.0.0.0", "::1", "[::1]"} and not target.localhost:  # noqa: S104
        return "is this machine itself, which instances refuse unless ALLOW_LOCALHOST_FOR_TESTS=true"
    if any(name in low for name in _METADATA):
        return "is a cloud's metadata service"
    if _SHELL.search(host):
        return "holds a character that the service refuses"
    address = _address(low.strip("[]"))
    if address is not None:
        return _address_problem(address, target)
    if not _NAME.match(host) or "_" in host:
        return "is no host name: letters, digits, . and - (an underscore is refused, too)"
    return ""


def reaches_inside(value: str) -> str:
    """Why the modules with a host rule of their own (7.3) refuse this host, or nothing."""
    low = value.strip().lower()
    if not low:
        return "is empty"
    if low == "localhost" or low.startswith("localhost."):
        return "is this machine itself, which this module always refuses"
    if any(name in low for name in _METADATA):
        return "is a cloud's metadata service"
    address = _address(low.strip("[]"))
    if address is not None and (not address.is_global or address.is_multicast):
        return "is a private, local or reserved address, which this module always refuses"
    return "is no host name (an underscore is refused, too)" if address is None and "_" in low else ""


def port_problem(value: object) -> str:
    """Why the reload of a checked type refuses this port, or nothing."""
    try:
        port = int(value) if not isinstance(value, str) else int(value.strip())  # type: ignore[call-overload]
    except (TypeError, ValueError):
        return "is no whole number"
    return "" if value and 1 <= port <= 65535 else "must be 1 to 65535"


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _address_problem(address: ipaddress.IPv4Address | ipaddress.IPv6Address, target: Target) -> str:
    if address.is_loopback:
        return "is this machine itself, which instances refuse"
    if address.is_unspecified:
        return "" if target.private and target.localhost else "is no address of a host"
    if address.is_link_local or address.is_multicast:
        return "is a link-local or multicast address, which instances refuse"
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        return "is an IPv4 address in IPv6 form, which instances refuse"
    if address.is_private:
        return (
            ""
            if target.private
            else "is a private address, which instances refuse unless ALLOW_PRIVATE_IP_CONNECTIONS=true"
        )
    return "is a reserved address, which instances refuse" if address.is_reserved else ""
