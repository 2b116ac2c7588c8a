"""What a model thought, in all spellings of hosts and clients, and how signatures come back.

`reasoning_details` is the list in which a client hands back what it was given: every item names
its `format` (the family that signed) and its `index`; items of one index are one thought.
"""

from __future__ import annotations

from typing import Any

from gateway.core.talk.chat.names import NAME, count_in, text_in
from gateway.core.talk.model import Thinking


def thoughts_in(plain: str, details: object, blocks: object = None) -> list[Thinking]:
    """The thoughts of a message: the details if it has any, with `plain` where they lack words."""
    found = from_details(details) or _from_blocks(blocks)
    if not plain:
        return found
    if not found:
        return [Thinking(plain)]
    if not any(thought.text for thought in found):
        found[0].text = plain
    return found


def from_details(details: object) -> list[Thinking]:
    """Thoughts from `reasoning_details`, their pieces put together by index."""
    found: list[Thinking] = []
    last: int | None = None
    for item in details if isinstance(details, list) else ():
        thought = detail(item)
        if thought is None:
            continue
        index = count_in(item.get("index"))
        if found and index is not None and index == last and _continues(found[-1], thought):
            _put_together(found[-1], thought)
        else:
            found.append(thought)
        last = index
    return [settled(thought) for thought in found]


def detail(item: object) -> Thinking | None:
    """One item of `reasoning_details`; None for what is none."""
    if not isinstance(item, dict):
        return None
    thought = Thinking(
        text=text_in(item.get("text")) or text_in(item.get("summary")),
        signature=text_in(item.get("signature")),
        data=text_in(item.get("data")),
        id=text_in(item.get("id")),
    )
    if not (thought.text or thought.signature or thought.data):
        return None
    thought.family = text_in(item.get("format"))
    return thought


def settled(thought: Thinking) -> Thinking:
    """A thought that was signed by nobody who says who was signed by a host of this wire."""
    if (thought.signature or thought.data) and not thought.family:
        thought.family = NAME
    return thought


def details_of(thoughts: list[Thinking]) -> list[dict[str, Any]]:
    """Thoughts as `reasoning_details`; none where nothing is signed or sealed."""
    if not any(thought.signature or thought.data for thought in thoughts):
        return []
    return [item for index, thought in enumerate(thoughts) for item in items_of(thought, index)]


def items_of(thought: Thinking, index: int) -> list[dict[str, Any]]:
    """One thought as items: what can be read, and what is sealed."""
    items: list[dict[str, Any]] = []
    if thought.text or thought.signature or not thought.data:
        readable: dict[str, Any] = {"type": "reasoning.text", "text": thought.text}
        if thought.signature:
            readable["signature"] = thought.signature
        items.append(readable)
    if thought.data:
        items.append({"type": "reasoning.encrypted", "data": thought.data})
    for item in items:
        if thought.id:
            item["id"] = thought.id
        if thought.family:
            item["format"] = thought.family
        item["index"] = index
    return items


def _continues(thought: Thinking, piece: Thinking) -> bool:
    """Sealed data is whole; a second one is another thought, and so is one of another family."""
    same = not (thought.family and piece.family and thought.family != piece.family)
    return same and not (thought.data and (piece.data or piece.text))


def _put_together(thought: Thinking, piece: Thinking) -> None:
    thought.text += piece.text
    thought.signature += piece.signature
    thought.data = thought.data or piece.data
    thought.id = thought.id or piece.id
    thought.family = thought.family or piece.family


def _from_blocks(blocks: object) -> list[Thinking]:
    """Thoughts from `thinking_blocks`, as some clients keep those of the Messages wire."""
    found: list[Thinking] = []
    for block in blocks if isinstance(blocks, list) else ():
        if not isinstance(block, dict):
            continue
        thought = Thinking(
            text=text_in(block.get("thinking")),
            signature=text_in(block.get("signature")),
            data=text_in(block.get("data")),
        )
        if thought.signature or thought.data:
            thought.family = "messages"
        if thought.text or thought.family:
            found.append(thought)
    return found
