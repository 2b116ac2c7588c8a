"""What is known of one call while it runs: the line it leaves in the log and the metrics."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.domain import Usage
from gateway.errors import Fault
from gateway.ports import Headers


@dataclass(slots=True)
class Record:
    """Filled in along the way; never holds content or a secret.

    No Struct: it is quicker made, but every call writes most of these fields, and in a Struct each
    costs several times as much.
    """

    id: str
    started: float
    number: int = 0
    operation: str = ""
    key: str = ""
    model: str = ""
    route: str = ""
    provider: str = ""
    stream: bool = False
    status: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    sent_upstream: float = 0.0
    upstream_done: float = 0.0
    first_byte: float = 0.0
    finished: float = 0.0
    upstream_status: int = 0
    usage: Usage | None = None
    fault: Fault | None = None
    cause: str = ""
    charged: int = 0
    flag: int = 0
    tries: tuple[dict[str, str | int], ...] = ()  # those that failed, where there was more than one
    goes_on: bool = False  # whoever leaves: a task has been made of it, or is being made
    failed_before: int = 0  # how many of them had failed when the last was sent
    sequence: int = 0  # where an event of the gateway's own would stand in the stream
    headers: Headers = ()  # what every answer of the call says, be it an error
