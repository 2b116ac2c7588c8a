"""Keys that a key's holder derives from it offline: narrower, and never more than it is.

A derived key is a chain of blocks. Each block says what it takes away and names the public key that
must sign the next one; the token ends with the secret seed of the last. Whoever holds it can narrow
it further, and nobody can widen it: a block can only be left off by who knows the seed before it.
The gateway keeps a key's public half alone, which can check and not sign. docs/derived-keys.md has
the format for other languages.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from fnmatch import fnmatchcase

import msgspec
from msgspec import Struct

from gateway.core.body import JsonBody
from gateway.core.money.amounts import nanos_of
from gateway.errors import Fault

MARK = "d1."
MAX_BLOCKS = 8
MAX_TOKEN = 4_096
_SEED_SALT = b"isthmus derived keys v1"
_SIGNED = b"isthmus-d1"
_ID_LENGTH = 32
_HEX = frozenset("0123456789abcdef")


class DerivedKeyError(Exception):
    """The token is not a derived key, or not one of this key; never says more."""

    def __init__(self) -> None:
        super().__init__("The derived key is not valid.")


class Block(Struct, frozen=True, forbid_unknown_fields=True):
    """What one step takes away. A caveat that is not known here makes the whole key invalid."""

    id: str
    next: str
    models: list[str] | None = None
    budget: str | None = None
    expires: int | None = None
    session: str | None = None


class Token(Struct, frozen=True):
    """A derived key, taken apart and not yet believed."""

    key_id: str
    blocks: tuple[Block, ...]
    texts: tuple[str, ...]  # each block and its signature as they stand in the token
    seed: bytes


_decode_block = msgspec.json.Decoder(Block).decode


def looks_derived(secret: bytes, prefix: str) -> bool:
    """Whether this can only be meant as a derived key; plain keys have no dot behind the prefix."""
    return secret.startswith(prefix.encode() + MARK.encode())


def parse(secret: bytes, prefix: str) -> Token:
    """Take a derived key apart, strictly."""
    if len(secret) > MAX_TOKEN or not secret.isascii() or not looks_derived(secret, prefix):
        raise DerivedKeyError
    key_id, *parts = secret.decode()[len(prefix) + len(MARK) :].split(".")
    if len(parts) < 3 or len(parts) % 2 == 0 or len(parts) > 2 * MAX_BLOCKS + 1 or not key_id:
        raise DerivedKeyError
    blocks = tuple(_block(_unpacked(text)) for text in parts[:-1:2])
    return Token(key_id, blocks, tuple(parts[:-1]), _unpacked(parts[-1], 32))


def ids_of(token: Token) -> list[str]:
    """What each step of the chain is known by: it stands for all that the step and those before it
    say, so no other block can take its place.
    """
    said = hashlib.sha256(_SIGNED + token.key_id.encode())
    ids = []
    for text in token.texts[::2]:
        said.update(b"\0" + text.encode())
        ids.append(said.hexdigest()[:_ID_LENGTH])
    return ids


def verify(token: Token, public: bytes) -> None:
    """Check every signature of the chain, and that its bearer holds the last seed."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    signer = public
    for place, block in enumerate(token.blocks):
        message = _message(token.key_id, token.texts[: 2 * place + 1])
        signature = _unpacked(token.texts[2 * place + 1], 64)
        try:
            Ed25519PublicKey.from_public_bytes(signer).verify(signature, message)
        except (InvalidSignature, ValueError):
            raise DerivedKeyError from None
        signer = _unpacked(block.next, 32)
    if not hmac.compare_digest(_public(token.seed), signer):
        raise DerivedKeyError


def public_of(secret: str) -> bytes:
    """What the gateway keeps of a key to check what is derived from it."""
    return _public(_seed_of(secret))


def derive(
    secret: str,
    prefix: str,
    key_id: str | None,
    block_id: bytes,
    seed: bytes,
    *,
    models: list[str] | None = None,
    budget: str | None = None,
    expires: int | None = None,
    session: str | None = None,
) -> str:
    """A narrower key from a key or from a derived one; `block_id` and `seed` are random."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    texts: tuple[str, ...] = ()
    signing = _seed_of(secret)
    if looks_derived(secret.encode(), prefix):
        token = parse(secret.encode(), prefix)
        key_id, texts, signing = token.key_id, token.texts, token.seed
    if not key_id:
        raise ValueError("The id of the key is needed to derive from it; see: gateway keys list")
    block = Block(block_id.hex(), _packed(_public(seed)), models, budget, expires, session)
    known = {n: v for n, v in msgspec.structs.asdict(block).items() if v is not None}
    text = _packed(msgspec.json.encode(known))
    _block(_unpacked(text))
    texts = (*texts, text)
    signature = Ed25519PrivateKey.from_private_bytes(signing).sign(_message(key_id, texts))
    made = f"{prefix}{MARK}{key_id}." + ".".join((*texts, _packed(signature), _packed(seed)))
    if len(texts) > 2 * MAX_BLOCKS or len(made) > MAX_TOKEN:
        raise ValueError(f"A key can be narrowed {MAX_BLOCKS} times, in {MAX_TOKEN} characters.")
    return made


def expires_of(blocks: tuple[Block, ...]) -> int | None:
    """The earliest end that any block sets."""
    return min((b.expires for b in blocks if b.expires is not None), default=None)


def allows(blocks: tuple[Block, ...], slug: str, model: str) -> bool:
    """Whether every block that names models names this one, by its slug or canonical id."""
    return all(
        any(fnmatchcase(slug, one) or fnmatchcase(model, one) for one in block.models)
        for block in blocks
        if block.models is not None
    )


def session_of(blocks: tuple[Block, ...]) -> str | None:
    """The one session that the key is for, if it is for one."""
    return next((b.session for b in blocks if b.session is not None), None)


def _block(raw: bytes) -> Block:
    try:
        JsonBody.parse(raw)
        block = _decode_block(raw)
        if block.budget is not None and nanos_of(block.budget) < 0:
            raise DerivedKeyError
    except (Fault, msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError):
        raise DerivedKeyError from None
    if len(block.id) != _ID_LENGTH or not set(block.id) <= _HEX:
        raise DerivedKeyError
    if block.expires is not None and not 0 <= block.expires < 1 << 40:
        raise DerivedKeyError
    _unpacked(block.next, 32)
    return block


def _message(key_id: str, texts: tuple[str, ...]) -> bytes:
    return b"\0".join([_SIGNED, key_id.encode(), ".".join(texts).encode()])


def _seed_of(secret: str) -> bytes:
    return hmac.new(_SEED_SALT, secret.encode(), hashlib.sha256).digest()


def _public(seed: bytes) -> bytes:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


def _packed(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _unpacked(text: str, length: int | None = None) -> bytes:
    """Strict base64url without padding: one spelling for each value."""
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except ValueError:
        raise DerivedKeyError from None
    if _packed(data) != text or (length is not None and len(data) != length):
        raise DerivedKeyError
    return data
