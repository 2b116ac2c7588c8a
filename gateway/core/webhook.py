"""A webhook as Standard Webhooks has it: three headers, one a signature that proves the others."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

_PREFIX = "whsec_"


def secret_bytes(secret: str) -> bytes:
    """The signing key: base64 behind `whsec_`, or else the text itself."""
    if secret.startswith(_PREFIX):
        try:
            return base64.b64decode(secret[len(_PREFIX) :], validate=True)
        except binascii.Error:
            return secret.encode()
    return secret.encode()


def signed(secret: bytes, name: str, moment: int, body: bytes) -> tuple[tuple[str, str], ...]:
    """The headers of one delivery: its name stays the same however often it is tried."""
    content = b"%b.%d.%b" % (name.encode(), moment, body)
    digest = base64.b64encode(hmac.new(secret, content, hashlib.sha256).digest()).decode()
    return (
        ("webhook-id", name),
        ("webhook-timestamp", str(moment)),
        ("webhook-signature", f"v1,{digest}"),
    )
