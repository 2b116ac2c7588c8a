"""How one family's proofs travel through clients of another dialect and back, unharmed."""

from __future__ import annotations

from typing import Final

from gateway.core.talk.model import Thinking

_MARK: Final = "gateway"
_SIGNATURE, _DATA = "signature", "data"


def sealed(thought: Thinking, home: str) -> str:
    """The proof of a thought for clients of the dialect `home`; a stranger's is marked as such."""
    proof = thought.signature or thought.data
    if not proof or thought.family in ("", home):
        return proof
    kind = _SIGNATURE if thought.signature else _DATA
    return f"{_MARK}:{thought.family}:{kind}:{proof}"


def unsealed(text: str, proof: str, home: str) -> Thinking:
    """A thought that came back, with the family that can tell whether it is true."""
    mark, _, rest = proof.partition(":")
    family, _, rest = rest.partition(":")
    kind, _, inner = rest.partition(":")
    if mark == _MARK and kind == _SIGNATURE:
        return Thinking(text, inner, family=family)
    if mark == _MARK and kind == _DATA:
        return Thinking(text, data=inner, family=family)
    return Thinking(text, proof, family=home if proof else "")
