"""How a connection comes about: name, address, proxy, TLS."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable

import aiohappyeyeballs

from gateway.core.addresses import is_address, is_public
from gateway.errors import Fault, upstream_error
from gateway.upstream.proxies import Proxies, Proxy
from gateway.upstream.target import Origin

DNS_SECONDS = 30.0
DNS_ENTRIES = 256
_SECOND_ADDRESS_AFTER = 0.25
_MAX_PROXY_HEAD = 16 * 1024

AddrInfo = tuple[socket.AddressFamily | int, socket.SocketKind | int, int, str, tuple[object, ...]]


class Resolver:
    """Names to addresses: a short bounded cache, one look-up at a time for each name."""

    __slots__ = ("_cache", "_running")

    def __init__(self) -> None:
        self._cache: dict[tuple[str, int], tuple[float, list[AddrInfo]]] = {}
        self._running: dict[tuple[str, int], asyncio.Task[list[AddrInfo]]] = {}

    async def resolve(self, host: str, port: int) -> list[AddrInfo]:
        """The addresses of a name; failures are not remembered."""
        key = (host, port)
        found = self._cache.get(key)
        if found is not None and found[0] > asyncio.get_running_loop().time():
            return found[1]
        task = self._running.get(key)
        if task is None:
            task = asyncio.create_task(self._look_up(key))
            self._running[key] = task
            task.add_done_callback(_retrieve)
        # Shielded: one caller's cancellation must not fail the others who wait for this name.
        return await asyncio.shield(task)

    async def _look_up(self, key: tuple[str, int]) -> list[AddrInfo]:
        loop = asyncio.get_running_loop()
        try:
            infos: list[AddrInfo] = list(
                await loop.getaddrinfo(key[0], key[1], type=socket.SOCK_STREAM)
            )
        finally:
            self._running.pop(key, None)
        self._cache.pop(key, None)
        if len(self._cache) >= DNS_ENTRIES:
            del self._cache[next(iter(self._cache))]
        self._cache[key] = (loop.time() + DNS_SECONDS, infos)
        return infos

    def close(self) -> None:
        """Forget everything; look-ups under way are cancelled."""
        self._cache.clear()
        for task in list(self._running.values()):
            task.cancel()
        self._running.clear()


class Connector:
    """Opens connections to origins, straight or through a proxy."""

    __slots__ = ("_contexts", "_proxies", "_resolver")

    def __init__(self, proxies: Proxies) -> None:
        self._proxies = proxies
        self._resolver = Resolver()
        self._contexts: dict[str | None, ssl.SSLContext] = {}

    async def open(
        self,
        origin: Origin,
        ca_file: str | None,
        factory: Callable[[], asyncio.Protocol],
        *,
        tunnel: bool = False,
        public: bool = False,
    ) -> asyncio.Protocol:
        """An open connection, with TLS finished where the scheme asks for it.

        A proxy is asked for a `tunnel` also where there is no TLS, as websockets need it.
        """
        context = self._context(origin, ca_file) if origin.scheme == "https" else None
        proxy = self._proxies.for_origin(origin)
        if proxy is None:
            sock = await self._dial(origin.host, origin.port, "connect", public)
        else:
            if public and is_address(origin.host) and not is_public(origin.host):
                raise _private(origin.host)
            sock = await self._dial(proxy.host, proxy.port, "proxy")
        try:
            if proxy is not None and (tunnel or context is not None):
                await _tunnel(sock, origin, proxy)
        except BaseException:
            sock.close()
            raise
        return await _establish(sock, origin, context, factory)

    def close(self) -> None:
        """Drop cached names and contexts."""
        self._resolver.close()
        self._contexts.clear()

    async def _dial(self, host: str, port: int, cause: str, public: bool = False) -> socket.socket:
        try:
            infos = await self._resolver.resolve(host, port)
        except (OSError, UnicodeError) as error:
            what = "The name of the provider's host could not be resolved."
            raise upstream_error(what, "dns", host) from error
        # What was looked up is what is dialled: a name can't mean something else in between.
        if public and not all(is_public(str(info[4][0])) for info in infos):
            raise _private(host)
        try:
            return await aiohappyeyeballs.start_connection(
                infos,
                happy_eyeballs_delay=_SECOND_ADDRESS_AFTER,
                interleave=1,
            )
        except (OSError, RuntimeError) as error:
            whose = "the proxy" if cause == "proxy" else "the provider"
            what = f"A connection to {whose} was refused or failed."
            raise upstream_error(what, cause, f"{host}:{port}") from error

    def _context(self, origin: Origin, ca_file: str | None) -> ssl.SSLContext:
        context = self._contexts.get(ca_file)
        if context is None:
            try:
                context = ssl.create_default_context(cafile=ca_file)
            except OSError as error:
                raise _tls(origin, "the CA file for it cannot be read") from error
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            context.set_alpn_protocols(["http/1.1"])
            self._contexts[ca_file] = context
        return context


async def _establish(
    sock: socket.socket,
    origin: Origin,
    context: ssl.SSLContext | None,
    factory: Callable[[], asyncio.Protocol],
) -> asyncio.Protocol:
    loop = asyncio.get_running_loop()
    if context is None:
        return (await loop.create_connection(factory, sock=sock))[1]
    try:
        opened = await loop.create_connection(
            factory, sock=sock, ssl=context, server_hostname=origin.host
        )
    except ssl.SSLCertVerificationError as error:
        raise _tls(origin, "its certificate was refused", error.verify_message) from error
    except (OSError, ssl.CertificateError) as error:
        raise _tls(origin, "the handshake failed") from error
    return opened[1]


async def _tunnel(sock: socket.socket, origin: Origin, proxy: Proxy) -> None:
    """Ask the proxy for a blind tunnel; TLS to the provider then runs inside it."""
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    target = f"{host}:{origin.port}"
    login = f"Proxy-Authorization: {proxy.login}\r\n" if proxy.login else ""
    request = f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{login}\r\n"
    loop = asyncio.get_running_loop()
    head = b""
    try:
        await loop.sock_sendall(sock, request.encode("latin-1"))
        while b"\r\n\r\n" not in head:
            data = await loop.sock_recv(sock, 4096)
            if not data or len(head) > _MAX_PROXY_HEAD:
                raise _proxy(proxy, "did not answer CONNECT properly")
            head += data
    except OSError as error:
        raise _proxy(proxy, "broke the connection") from error
    if not head.startswith((b"HTTP/1.1 2", b"HTTP/1.0 2")):
        status = head[9:12].decode("latin-1") if head.startswith(b"HTTP/1.") else "nonsense"
        raise _proxy(proxy, f"refused the tunnel ({status})", f" for {target}")
    if not head.endswith(b"\r\n\r\n"):
        raise _proxy(proxy, "sent bytes into the tunnel before anybody spoke")


def _tls(origin: Origin, what: str, why: str = "") -> Fault:
    where = f"{origin.host}:{origin.port}"
    return upstream_error(
        f"TLS with the provider failed: {what}.", "tls", f"{where}: {why}" if why else where
    )


def _private(host: str) -> Fault:
    what = "What the provider named is no address of the public network."
    return upstream_error(what, "private_address", host)


def _proxy(proxy: Proxy, what: str, more: str = "") -> Fault:
    where = f"{proxy.host}:{proxy.port}{more}"
    return upstream_error(f"The proxy to the provider {what}.", "proxy", where)


def _retrieve(task: asyncio.Task[list[AddrInfo]]) -> None:
    """A failed look-up whose waiters are all gone must not be reported as unseen."""
    if not task.cancelled():
        task.exception()
