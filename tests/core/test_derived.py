"""Derived keys: only ever narrower, by whoever holds one; checked with a public key alone."""

from __future__ import annotations

import hashlib
import json
import random
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core import derived
from gateway.core.derived import (
    DerivedKeyError,
    allows,
    derive,
    expires_of,
    ids_of,
    looks_derived,
    parse,
    public_of,
    verify,
)

PREFIX = "sk-maas-"
SECRET = PREFIX + "A" * 40
KEY_ID = "key_0123456789abcdef"
PUBLIC = public_of(SECRET)
DOC = (Path(__file__).parents[2] / "docs" / "derived-keys.md").read_text()


def narrower(secret: str = SECRET, n: int = 1, **caveats: object) -> str:
    rng = random.Random(n)
    caveats = caveats or {"models": ["echo"]}
    return derive(secret, PREFIX, KEY_ID, rng.randbytes(16), rng.randbytes(32), **caveats)


def good(secret: str | bytes, public: bytes = PUBLIC) -> derived.Token:
    token = parse(secret.encode() if isinstance(secret, str) else secret, PREFIX)
    verify(token, public)
    return token


@pytest.mark.parametrize("steps", range(1, 9))
def test_chains(steps: int) -> None:
    """A key can be narrowed again and again; every step takes something away."""
    secret = SECRET
    for step in range(steps):
        secret = narrower(secret, step, expires=1000 - step, models=["a*", f"b{step}"])
    token = good(secret)
    assert token.key_id == KEY_ID
    assert len(ids_of(token)) == len(set(ids_of(token))) == steps
    assert expires_of(token.blocks) == 1001 - steps
    assert allows(token.blocks, "abc", "x")
    assert allows(token.blocks, "b0", "x") is (steps == 1)
    assert looks_derived(secret.encode(), PREFIX)
    assert not looks_derived(SECRET.encode(), PREFIX)


def test_no_more_than_eight() -> None:
    """The ninth step is refused where it is made, and where it is shown."""
    secret = SECRET
    for step in range(8):
        secret = narrower(secret, step)
    with pytest.raises(ValueError, match="8 times"):
        narrower(secret, 9)


def test_what_the_gateway_keeps_is_not_enough() -> None:
    """From the digest and the public key in a database, nothing can be derived."""
    kept = (hashlib.sha256(SECRET.encode()).hexdigest(), PUBLIC.hex())
    for leaked in kept:
        with pytest.raises(DerivedKeyError):
            good(narrower(PREFIX + leaked))


def test_a_caveat_cannot_be_taken_off() -> None:
    """Blocks can be neither dropped, nor swapped, nor repeated, nor borrowed."""
    one = narrower(models=["echo"])
    two = narrower(one, 2, budget="1")
    other = narrower(n=3, models=["*"])
    *head, b1, s1, b2, s2, seed = two.split(".")
    _, _, c1, t1, other_seed = other.split(".")
    first = ".".join(head)
    for parts in (
        (b1, s1, seed), (b2, s2, seed), (b2, s2, b1, s1, seed), (b1, s1, b1, s1, b2, s2, seed),
        (b1, s1, b2, s1, seed), (c1, t1, b2, s2, seed), (b1, s1, c1, t1, other_seed),
        (b1, s1, b2, s2, other_seed), (c1, s1, seed), (b1, t1, other_seed),
    ):  # fmt: skip
        with pytest.raises(DerivedKeyError):
            good(".".join((first, *parts)))
    with pytest.raises(DerivedKeyError):
        good(two.replace(KEY_ID, "key_fedcba9876543210"))
    with pytest.raises(DerivedKeyError):
        good(two, public_of(SECRET + "x"))


@settings(max_examples=150)
@given(place=st.integers(0, 10_000), flip=st.integers(1, 255))
def test_every_byte_counts(place: int, flip: int) -> None:
    """Whatever byte is changed, it is no key any more."""
    secret = bytearray(narrower(narrower(), 2).encode())
    secret[place % len(secret)] ^= flip
    with pytest.raises(DerivedKeyError):
        good(bytes(secret))


@settings(max_examples=300)
@given(
    st.binary(max_size=300)
    | st.binary(max_size=300).map(lambda data: f"{PREFIX}d1.".encode() + data)
    | st.lists(st.text("ab-_.", max_size=60), max_size=20).map(
        lambda parts: (f"{PREFIX}d1." + ".".join(parts)).encode()
    )
)
def test_nothing_else_is_raised(secret: bytes) -> None:
    """Any bytes at all are a key or no key, and nothing of them is said."""
    with pytest.raises(DerivedKeyError, match=r"^The derived key is not valid\.$"):
        good(secret)


@pytest.mark.parametrize(
    "block",
    [
        b'{"id":"%s","next":"%s","admin":true}',
        b'{"id":"%s","next":"%s","budget":"1","budget":"9"}',
        b'{"id":"%s","next":"%s","budget":"-1"}',
        b'{"id":"%s","next":"%s","budget":"NaN"}',
        b'{"id":"%s","next":"%s","expires":"soon"}',
        b'{"id":"%s","next":"%s","expires":-1}',
        b'{"id":"%s","next":"%s","models":"*"}',
        b'["%s","%s"]',
    ],
)
def test_blocks_are_strict(block: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A block the gateway does not fully understand is refused though its signature is right."""
    real = derived._packed
    raw = block.replace(b'"%s"', b'"' + b"0" * 32 + b'"', 1).replace(b"%s", b"A" * 43)

    def packed(data: bytes) -> str:
        return real(raw if data.startswith(b"{") else data)

    monkeypatch.setattr(derived, "_packed", packed)
    with pytest.raises((DerivedKeyError, ValueError)):
        good(narrower())


def test_the_documents_python() -> None:
    """The few lines of Python in the document make keys that the gateway takes."""
    code = re.search(r"```python\n(.*?)```", DOC, re.S)
    assert code is not None
    space: dict[str, object] = {}
    exec(code[1], space)
    made = space["derive"](SECRET, KEY_ID, models=["echo"], budget="0.50")
    (block,) = good(made).blocks
    assert (block.models, block.budget) == (["echo"], "0.50")


def test_the_documents_javascript(tmp_path: Path) -> None:
    """And those of JavaScript."""
    if shutil.which("node") is None:
        pytest.skip("node is not installed")
    code = re.search(r"```js\n(.*?)```", DOC, re.S)
    assert code is not None
    program = tmp_path / "derive.js"
    call = f"derive({json.dumps(SECRET)}, {json.dumps(KEY_ID)}, {{expires: 123, session: 's'}})"
    program.write_text(f"{code[1]}\nconsole.log({call});")
    done = subprocess.run(["node", program], capture_output=True, text=True, check=True)
    (block,) = good(done.stdout.strip()).blocks
    assert (block.expires, block.session) == (123, "s")
