"""The Responses dialect, and the wire of the same name."""

from gateway.core.talk.responses.answers import read_answer, write_answer
from gateway.core.talk.responses.asked import read_request
from gateway.core.talk.responses.asking import write_request
from gateway.core.talk.responses.errors import error_event
from gateway.core.talk.responses.meter import ResponsesMeter, responses_usage
from gateway.core.talk.responses.reader import Reader
from gateway.core.talk.responses.store import Line, Responses, Stored
from gateway.core.talk.responses.stored import (
    deleted,
    dereferenced,
    expand,
    input_items,
    unknown_response,
)
from gateway.core.talk.responses.writer import Writer

__all__ = [
    "Line",
    "Reader",
    "Responses",
    "ResponsesMeter",
    "Stored",
    "Writer",
    "deleted",
    "dereferenced",
    "error_event",
    "expand",
    "input_items",
    "read_answer",
    "read_request",
    "responses_usage",
    "unknown_response",
    "write_answer",
    "write_request",
]
