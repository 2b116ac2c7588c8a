"""What an adapter with a wire of its own reads and writes: conversations, answers, events."""

from gateway.core import sse
from gateway.core.talk.events import (
    Began,
    Broke,
    Cited,
    Closed,
    Ended,
    Event,
    Grew,
    InOrder,
    Opened,
    Reader,
    Signed,
    Stopped,
    Used,
    Writer,
)
from gateway.core.talk.fitting import passed_on
from gateway.core.talk.free_text import as_functions
from gateway.core.talk.interpret import Interpreter
from gateway.core.talk.messages import (
    MessagesMeter,
    Traits,
    messages_fault,
    messages_usage,
    traits_of,
)
from gateway.core.talk.messages import Reader as MessagesReader
from gateway.core.talk.messages import fault_in_answer as messages_fault_in
from gateway.core.talk.messages import read_answer as read_messages_answer
from gateway.core.talk.messages import write_request as write_messages
from gateway.core.talk.model import (
    Answer,
    Citation,
    Foreign,
    Format,
    Losses,
    Media,
    Message,
    Part,
    Reason,
    Refusal,
    Talk,
    Text,
    Thinking,
    Tool,
    ToolChoice,
    ToolResult,
    ToolUse,
)
from gateway.sdk.adapter import Login, ReadFile, Token, Wire
from gateway.sdk.responding import (
    RESPONSES,
    RESPONSES_WIRE,
    responses_operation,
    responses_wire,
    serves_itself,
)
from gateway.sdk.spoken import Dialect, translated

__all__ = [
    "RESPONSES",
    "RESPONSES_WIRE",
    "Answer",
    "Began",
    "Broke",
    "Citation",
    "Cited",
    "Closed",
    "Dialect",
    "Ended",
    "Event",
    "Foreign",
    "Format",
    "Grew",
    "InOrder",
    "Interpreter",
    "Login",
    "Losses",
    "Media",
    "Message",
    "MessagesMeter",
    "MessagesReader",
    "Opened",
    "Part",
    "ReadFile",
    "Reader",
    "Reason",
    "Refusal",
    "Signed",
    "Stopped",
    "Talk",
    "Text",
    "Thinking",
    "Token",
    "Tool",
    "ToolChoice",
    "ToolResult",
    "ToolUse",
    "Traits",
    "Used",
    "Wire",
    "Writer",
    "as_functions",
    "messages_fault",
    "messages_fault_in",
    "messages_usage",
    "passed_on",
    "read_messages_answer",
    "responses_operation",
    "responses_wire",
    "serves_itself",
    "sse",
    "traits_of",
    "translated",
    "write_messages",
]
