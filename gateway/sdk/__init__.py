"""All that an adapter may import. The names in `__all__` are the contract with third parties."""

from gateway.core.body import JsonBody
from gateway.core.faults import (
    clean,
    fault_in_body,
    provider_fault,
    read_error,
    retry_after,
)
from gateway.core.meter import StreamMeter, Translator
from gateway.core.script import Cut as ScriptCut
from gateway.core.script import Script
from gateway.core.script import Send as ScriptSend
from gateway.core.script import Wait as ScriptWait
from gateway.core.usage import openai_usage, reasoning_outside
from gateway.domain import Credential, Encoded, File, Piece, UpstreamRequest, Usage
from gateway.errors import (
    INVALID_REQUEST,
    NO_UPSTREAM,
    RATE_LIMIT_EXCEEDED,
    REQUEST_TOO_LARGE,
    UPSTREAM_ERROR,
    UPSTREAM_TIMEOUT,
    Fault,
    ProviderError,
    invalid,
)
from gateway.sdk import (
    hearing,
    normalise,
    painting,
    ranking,
    realtime,
    transcripts,
    vectors,
    voices,
)
from gateway.sdk.adapter import (
    CONTRACT,
    PASSTHROUGH,
    Adapter,
    Answered,
    Call,
    Dialogue,
    Frames,
    Further,
    Job,
    Operation,
    Progress,
    Reply,
)
from gateway.sdk.compatible import Quirks, adapted, bearer, compatible, with_stream_usage
from gateway.sdk.forms import form
from gateway.sdk.respell import Spelling

__all__ = [
    "CONTRACT",
    "INVALID_REQUEST",
    "NO_UPSTREAM",
    "PASSTHROUGH",
    "RATE_LIMIT_EXCEEDED",
    "REQUEST_TOO_LARGE",
    "UPSTREAM_ERROR",
    "UPSTREAM_TIMEOUT",
    "Adapter",
    "Answered",
    "Call",
    "Credential",
    "Dialogue",
    "Encoded",
    "Fault",
    "File",
    "Frames",
    "Further",
    "Job",
    "JsonBody",
    "Operation",
    "Piece",
    "Progress",
    "ProviderError",
    "Quirks",
    "Reply",
    "Script",
    "ScriptCut",
    "ScriptSend",
    "ScriptWait",
    "Spelling",
    "StreamMeter",
    "Translator",
    "UpstreamRequest",
    "Usage",
    "adapted",
    "bearer",
    "clean",
    "compatible",
    "fault_in_body",
    "form",
    "hearing",
    "invalid",
    "normalise",
    "openai_usage",
    "painting",
    "provider_fault",
    "ranking",
    "read_error",
    "realtime",
    "reasoning_outside",
    "retry_after",
    "transcripts",
    "vectors",
    "voices",
    "with_stream_usage",
]
