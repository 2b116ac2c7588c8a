"""How one family's proofs travel through clients of another dialect and back, unharmed."""

from __future__ import annotations

from gateway.core.talk.model import Thinking

_MARK = "gateway"


def sealed(part: Thinking, home: str) -> str:
    """The proof of a thought, for clients of the dialect `home`; marked when it is a stranger's."""
    proof = part.data or part.signature
    if not proof or part.family == home:
        return proof
    kind = "data" if part.data else "signature"
    return f"{_MARK}:{part.family}:{kind}:{proof}"


def unsealed(text: str, proof: str, home: str, name: str = "", *, sealed: bool = False) -> Thinking:
    """A thought that came back, with the family that can tell whether it is true."""
    mark, _, rest = proof.partition(":")
    family, _, tail = rest.partition(":")
    kind, _, inner = tail.partition(":")
    if mark == _MARK and kind in ("data", "signature"):
        if kind == "data":
            return Thinking(text, data=inner, family=family, id=name)
        return Thinking(text, inner, family=family, id=name)
    if sealed:
        return Thinking(text, data=proof, family=home, id=name)
    return Thinking(text, proof, family=home if proof else "", id=name)
