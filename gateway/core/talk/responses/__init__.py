"""The Responses dialect, both ways."""

from gateway.core.talk.responses.answer import fault_in_answer, read_answer, write_answer
from gateway.core.talk.responses.meter import ResponsesMeter
from gateway.core.talk.responses.read import read_request
from gateway.core.talk.responses.reader import Reader
from gateway.core.talk.responses.write import write_request
from gateway.core.talk.responses.writer import Writer

__all__ = [
    "Reader",
    "ResponsesMeter",
    "Writer",
    "fault_in_answer",
    "read_answer",
    "read_request",
    "write_answer",
    "write_request",
]
