"""A client's websocket: the handshake as a server checks it, and the connection afterwards."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from gateway.core.websocket import Closed, Peer, accept_of, is_key
from gateway.errors import invalid
from gateway.ports import Headers

if TYPE_CHECKING:
    from gateway.web.connection import Connection
    from gateway.web.reading import Request
    from gateway.web.replying import HttpSink

_PROTOCOL = "realtime"
_KEY_PROTOCOL = "openai-insecure-api-key."


def wants_websocket(request: Request) -> bool:
    """Whether a request asks for a websocket at all."""
    return request.headers.get("Upgrade", "").strip().lower() == "websocket"


def check_handshake(request: Request) -> None:
    """Refuse what is no proper handshake."""
    headers = request.headers
    if not wants_websocket(request):
        raise invalid(
            "This endpoint speaks websocket: connect to it with ws:// or wss://, or send "
            "'Upgrade: websocket'."
        )
    options = [one.strip().lower() for one in headers.get("Connection", "").split(",")]
    if "upgrade" not in options or request.version < (1, 1) or request.method != "GET":
        raise invalid("A websocket is asked for with GET, HTTP/1.1 and 'Connection: Upgrade'.")
    if headers.get("Sec-WebSocket-Version", "").strip() != "13":
        raise invalid("Only version 13 of the websocket protocol is spoken here.")
    keys = headers.getall("Sec-WebSocket-Key", ())
    if len(keys) != 1 or not is_key(keys[0].strip()):
        raise invalid("Sec-WebSocket-Key must be sixteen bytes in base64.")


def offered(request: Request) -> list[str]:
    """The subprotocols that the client offers."""
    given = request.headers.getall("Sec-WebSocket-Protocol", ())
    return [one.strip() for value in given for one in value.split(",") if one.strip()]


def secret_offered(request: Request) -> bytes | None:
    """The key among the subprotocols, where browsers must put it."""
    for one in offered(request):
        if one.startswith(_KEY_PROTOCOL):
            return one.removeprefix(_KEY_PROTOCOL).encode()
    return None


def accepted(request: Request) -> Headers:
    """The headers that agree to the handshake."""
    key = request.headers["Sec-WebSocket-Key"].strip()
    headers = [
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Accept", accept_of(key)),
    ]
    if _PROTOCOL in offered(request):
        headers.append(("Sec-WebSocket-Protocol", _PROTOCOL))
    return headers


class ClientSocket:
    """Implements `ports.Socket` over a client's connection, once it is upgraded."""

    def __init__(self, connection: Connection, sink: HttpSink, headers: Headers) -> None:
        self._connection = connection
        self._peer = Peer(self._write)
        self._now = connection.now
        self.heard = self._now()
        self._held = False
        sink.switch(headers)

    def listen(
        self, on_message: Callable[[bytes], None], on_close: Callable[[Closed], None]
    ) -> None:
        """Who takes the messages from now on; what came meanwhile is handed over first."""
        self._peer.on_message, self._peer.on_close = on_message, on_close
        if self._connection.transport is None:
            self._peer.lost()
            return
        # aiohttp hands what comes after an upgrade to whoever is set here.
        self._connection.set_parser(cast("Any", self))

    def on_congestion(self, hold: Callable[[], None], go_on: Callable[[], None]) -> None:
        """Whom to tell when the client falls behind, and when it has caught up."""
        peer = self._peer

        def behind() -> None:
            peer.hold()
            hold()

        def caught_up() -> None:
            peer.go_on()
            go_on()

        self._connection.on_congestion(behind, caught_up)

    def send(self, message: bytes) -> None:
        """A text message."""
        self._peer.send(message)

    def ping(self) -> None:
        """Ask whether the client is there."""
        self._peer.ping()

    def pause(self) -> None:
        """Read no more for now."""
        if not self._held:
            self._held = True
            self._connection.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if self._held:
            self._held = False
            self.heard = self._now()
            self._connection.resume_reading()

    def close(self, code: int, reason: str = "") -> None:
        """Say goodbye."""
        self._peer.close(code, reason)

    def abort(self) -> None:
        """Drop the connection."""
        if self._connection.transport is not None:
            self._connection.transport.abort()

    # --- what aiohttp calls ---

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """Bytes off the wire."""
        self.heard = self._now()
        self._peer.feed(data)
        return False, b""

    def feed_eof(self) -> None:
        """The connection has ended."""
        self._peer.lost()

    def _write(self, data: bytes) -> None:
        transport = self._connection.transport
        if transport is not None:
            transport.write(data)
