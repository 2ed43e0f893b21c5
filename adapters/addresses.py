"""Where a server of ours may connect when somebody else chose the address: the internet, and no
machine behind our own walls. Python's `is_global` is not enough: it passes several ways of writing
a private IPv4 address as an IPv6 one."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# IANA's special-purpose registries. `is_global` of Python 3.11 and 3.12 lets several of them pass.
_DENIED = tuple(
    ipaddress.ip_network(text)
    for text in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
        *("172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16"),
        *("198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
        *("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"),
    )
)
# Of IPv6 only this is the Internet: the rest is loopback, local, multicast or not given out.
_INTERNET_6 = ipaddress.ip_network("2000::/3")
_MAPPED = ipaddress.ip_network("::ffff:0:0/96")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def permitted(address: Address, allowed: Sequence[Network], *, plain: bool) -> bool:
    """Whether a socket may be connected there; an IPv4 address inside an IPv6 one is what counts.

    6to4 and Teredo, which hold one too, are denied whole: nobody's server lives there.
    """
    inner = address
    if isinstance(address, ipaddress.IPv6Address) and (address in _MAPPED or address in _NAT64):
        inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    if any(inner in network or address in network for network in allowed):
        return True
    if plain or any(inner in network for network in _DENIED):
        return False
    return inner.version == 4 or inner in _INTERNET_6


def networks(cidrs: Sequence[str]) -> tuple[Network, ...]:
    """The networks that a setting names; `ValueError` if one cannot be read."""
    try:
        return tuple(ipaddress.ip_network(cidr) for cidr in cidrs)
    except ValueError:
        raise ValueError("allow_private must be a list of networks such as 10.1.0.0/16") from None
