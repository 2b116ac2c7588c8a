"""OpenAI's chat wire in both directions: a dialect that clients speak and many hosts too."""

from gateway.core.talk.chat.answer import read_answer, write_answer
from gateway.core.talk.chat.reader import Reader
from gateway.core.talk.chat.request_read import read_request
from gateway.core.talk.chat.request_write import write_request
from gateway.core.talk.chat.writer import Writer

__all__ = ["Reader", "Writer", "read_answer", "read_request", "write_answer", "write_request"]
