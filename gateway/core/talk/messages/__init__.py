"""The Messages wire, both ways: as a dialect that clients speak, and as a provider's own."""

from gateway.core.talk.messages.answer import read_answer, write_answer
from gateway.core.talk.messages.errors import error_event, error_type, write_error
from gateway.core.talk.messages.fault import fault_in_answer, messages_fault
from gateway.core.talk.messages.meter import MessagesMeter
from gateway.core.talk.messages.reader import Reader
from gateway.core.talk.messages.request import read_request
from gateway.core.talk.messages.traits import Traits, traits_of
from gateway.core.talk.messages.usage import messages_usage
from gateway.core.talk.messages.write_request import write_request
from gateway.core.talk.messages.writer import Writer

__all__ = [
    "MessagesMeter",
    "Reader",
    "Traits",
    "Writer",
    "error_event",
    "error_type",
    "fault_in_answer",
    "messages_fault",
    "messages_usage",
    "read_answer",
    "read_request",
    "traits_of",
    "write_answer",
    "write_error",
    "write_request",
]
