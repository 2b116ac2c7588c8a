"""Items of an output as parts of an answer, and why the answer ended."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.core.faults import fault_in_body
from gateway.core.talk.model import (
    Citation,
    Foreign,
    Part,
    Reason,
    Refusal,
    Text,
    Thinking,
    ToolUse,
)
from gateway.core.talk.proof import unsealed
from gateway.core.talk.responses.wire import (
    BREAK,
    DIALECT,
    Head,
    Item,
    is_object,
    listed,
    read_annotation,
    read_content,
    read_item,
    worded,
)
from gateway.errors import UPSTREAM_ERROR, Fault

FAMILY = "responses"
TEXTS = ("output_text", "input_text", "text")


def item_parts(raw: bytes) -> list[Part]:
    """The parts that one item of an output is; none for what was neither said nor signed."""
    item = read_item(raw)
    if item is None:
        return []
    if item.type == "message" and item.role in (None, "assistant"):
        return [content_part(one) for one in listed(item.content)]
    if item.type == "reasoning":
        thought = thinking(item)
        return [thought] if thought.text or thought.signature else []
    if item.type in ("function_call", "custom_tool_call"):
        return [tool_use(item)]
    return [Foreign(DIALECT, item.type, raw)]


def content_part(raw: bytes) -> Part:
    """A piece of a message."""
    content = read_content(raw)
    if content is None:
        return Foreign(DIALECT, "content", raw)
    if content.type == "refusal":
        return Refusal(content.refusal or "")
    if content.type in TEXTS:
        found = [citation(one) for one in listed(content.annotations)]
        return Text(content.text or "", citations=found)
    return Foreign(DIALECT, "content", raw)


def thinking(item: Item) -> Thinking:
    """What was thought: in summary, or else in full."""
    text = _sections(listed(item.summary)) or _sections(listed(item.content))
    thought = unsealed(text, item.encrypted_content or "", FAMILY)
    thought.id = item.id or ""
    return thought


def tool_use(item: Item) -> ToolUse:
    """A call of a tool; hosts that give no call id mean the item's own."""
    custom = item.type == "custom_tool_call"
    said = worded(item.input if custom else item.arguments)
    return ToolUse(
        item.call_id or item.id or "",
        item.name or "",
        said,
        custom=custom,
        signature=item.signature or "",
        family=item.signature_family or "",
    )


def citation(raw: bytes) -> Citation:
    """A source, with the annotation as it came."""
    found = read_annotation(raw)
    if found is None:
        return Citation(dialect=DIALECT, raw=raw)
    return Citation(
        url=found.url or "",
        title=found.title or found.filename or "",
        start=found.start_index,
        end=found.end_index,
        dialect=DIALECT,
        raw=raw,
    )


def reason_of(head: Head, kinds: Iterable[type]) -> Reason:
    """Why an answer with parts of these kinds ended."""
    if head.status == "incomplete":
        why = head.incomplete_details.reason if head.incomplete_details else None
        return "filter" if why == "content_filter" else "length"
    if head.status not in (None, "completed"):
        return "error"
    met = set(kinds)
    if ToolUse in met:
        return "tool"
    return "refusal" if Refusal in met and Text not in met else "stop"


def failure(error: bytes) -> Fault:
    """What a response that failed says of itself."""
    found = fault_in_body(b'{"error":' + error + b"}") if is_object(error) else None
    return found or Fault(
        UPSTREAM_ERROR,
        "The provider reported that the response failed.",
        cause="error_in_answer",
    )


def _sections(contents: list[bytes]) -> str:
    read = (read_content(one) for one in contents)
    return BREAK.join(one.text for one in read if one is not None and one.text)
