"""Which addresses are of the public network, and which may be somebody's own machines."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

_NAT64 = ip_network("64:ff9b::/96")
_COMPATIBLE = ip_network("::/96")
# Looks like anybody's, and is where machines in one cloud find that cloud's own services.
_CLOUDS_OWN = ip_address("168.63.129.16")


def is_public(address: str) -> bool:
    """Whether anybody on the internet could reach it; what is no address is not."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    return _is_public(found)


def is_address(host: str) -> bool:
    """Whether a URL's host is an address and not a name."""
    try:
        ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def _is_public(found: IPv4Address | IPv6Address) -> bool:
    if isinstance(found, IPv6Address):
        inner = _inside(found)
        if inner is not None:
            return _is_public(inner)
        if found.is_site_local:  # of which the library says that it is global
            return False
    usual = found.is_global and not found.is_multicast and not found.is_reserved
    return usual and found != _CLOUDS_OWN


def _inside(found: IPv6Address) -> IPv4Address | None:
    """The older address that one of the newer kind stands for."""
    if found.ipv4_mapped is not None:
        return found.ipv4_mapped
    if found.sixtofour is not None:
        return found.sixtofour
    if found in _NAT64 or found in _COMPATIBLE:
        return IPv4Address(int(found) & 0xFFFFFFFF)
    return None if found.teredo is None else found.teredo[1]
