"""Where a call comes from: its connection's peer, unless that is a proxy the operator trusts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

_MOST_HOPS = 20


class Proxies:
    """The proxies whose word is taken for whom they speak for. Anybody else's is ignored."""

    def __init__(self, networks: Sequence[str] = ()) -> None:
        self._networks: list[IPv4Network | IPv6Network] = [
            ip_network(network, strict=False) for network in networks
        ]

    def client_of(self, peer: str | None, headers: Mapping[str, str]) -> str | None:
        """The nearest address that is no trusted proxy's; None when it can't be known."""
        if peer is None or not self._networks or not self._trusts(peer):
            return _plain(peer)
        hops = ",".join(_lines(headers)).split(",")[-_MOST_HOPS:]
        for hop in reversed(hops):
            address = _plain(hop.strip())
            if address is None:
                return None  # a trusted proxy passed on something that is no address
            if not self._trusts(address):
                return address
        return None

    def _trusts(self, address: str) -> bool:
        plain = _plain(address)
        if plain is None:
            return False
        parsed = ip_address(plain)
        return any(parsed in network for network in self._networks)


def _lines(headers: Mapping[str, str]) -> Sequence[str]:
    """All lines of the header: some proxies add one of their own below what the client wrote."""
    getall = getattr(headers, "getall", None)
    if getall is None:
        return [headers.get("X-Forwarded-For", "")]
    lines: list[str] = getall("X-Forwarded-For", [])
    return lines


def _plain(text: str | None) -> str | None:
    """An address as such, an IPv4 one inside an IPv6 one as IPv4; None for anything else."""
    if not text:
        return None
    try:
        parsed = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = getattr(parsed, "ipv4_mapped", None)
    return str(mapped or parsed)
