"""HTTP_PROXY, HTTPS_PROXY and NO_PROXY: who is spoken to through whom."""

from __future__ import annotations

import base64
import ipaddress
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from gateway.upstream.target import Origin


class Proxy(NamedTuple):
    """A forward proxy, and the value of Proxy-Authorization if it wants a login."""

    host: str
    port: int
    login: str | None


class Proxies:
    """The proxy settings of one environment, read once."""

    __slots__ = ("_by_scheme", "_bypass")

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._by_scheme = {
            scheme: _parse(value)
            for scheme in ("http", "https")
            if (value := _setting(environ, f"{scheme}_proxy"))
        }
        self._bypass = [
            entry.strip().lower()
            for entry in _setting(environ, "no_proxy").split(",")
            if entry.strip()
        ]

    def for_origin(self, origin: Origin) -> Proxy | None:
        """The proxy on the way to this origin; None goes straight."""
        proxy = self._by_scheme.get(origin.scheme)
        if proxy is None or any(_matches(entry, origin) for entry in self._bypass):
            return None
        return proxy


def _setting(environ: Mapping[str, str], name: str) -> str:
    """Lower case wins, as with curl: HTTP_PROXY may be forged where a CGI sets HTTP_* names."""
    return (environ.get(name) or environ.get(name.upper()) or "").strip()


def _parse(value: str) -> Proxy:
    parts = urlsplit(value if "://" in value else f"http://{value}")
    if parts.scheme != "http" or not parts.hostname:
        raise ValueError("a proxy setting must be an http:// URL with a host")
    login = None
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        login = "Basic " + base64.b64encode(pair.encode()).decode("ascii")
    return Proxy(parts.hostname, parts.port or 80, login)


def _matches(entry: str, origin: Origin) -> bool:
    if entry == "*":
        return True
    host, port = origin.host.lower(), f":{origin.port}"
    if "/" in entry:
        return _in_network(host, entry)
    if entry.endswith(port) and entry.count(":") == 1:
        entry = entry.removesuffix(port)
    name = entry.strip("[]").removeprefix("*").lstrip(".")
    return host == name or host.endswith(f".{name}")


def _in_network(host: str, network: str) -> bool:
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False
