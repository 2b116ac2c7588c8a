"""Words that only their caller may read again: sealed with its secret, which is kept nowhere."""

from __future__ import annotations

import hashlib
import hmac
import os

_SALT = b"isthmus sealed answers v1"
_NONCE = 12


def seal(secret: bytes, data: bytes) -> bytes:
    """The data, unreadable without the secret."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce = os.urandom(_NONCE)
    return nonce + AESGCM(_key_of(secret)).encrypt(nonce, data, None)


def unseal(secret: bytes, sealed: bytes) -> bytes:
    """What was sealed with this secret; cryptography's `InvalidTag` if it was another."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM(_key_of(secret)).decrypt(sealed[:_NONCE], sealed[_NONCE:], None)


def _key_of(secret: bytes) -> bytes:
    return hmac.new(_SALT, secret, hashlib.sha256).digest()
