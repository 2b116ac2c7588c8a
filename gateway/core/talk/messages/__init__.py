"""The Messages dialect, both ways."""

from gateway.core.talk.messages.answer import read_answer, write_answer
from gateway.core.talk.messages.fault import fault_in_answer, messages_fault
from gateway.core.talk.messages.meter import MessagesMeter
from gateway.core.talk.messages.read import read_request
from gateway.core.talk.messages.reader import Reader
from gateway.core.talk.messages.usage import messages_usage
from gateway.core.talk.messages.write import Traits, write_request
from gateway.core.talk.messages.writer import Writer

__all__ = [
    "MessagesMeter",
    "Reader",
    "Traits",
    "Writer",
    "fault_in_answer",
    "messages_fault",
    "messages_usage",
    "read_answer",
    "read_request",
    "write_answer",
    "write_request",
]
