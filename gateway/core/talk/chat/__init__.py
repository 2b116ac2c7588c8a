"""The chat dialect, both ways: spoken by clients, and by most hosts."""

from gateway.core.talk.chat.answer import read_answer, write_answer
from gateway.core.talk.chat.read import read_request
from gateway.core.talk.chat.reader import Reader
from gateway.core.talk.chat.write import write_request
from gateway.core.talk.chat.writer import Writer

__all__ = ["Reader", "Writer", "read_answer", "read_request", "write_answer", "write_request"]
