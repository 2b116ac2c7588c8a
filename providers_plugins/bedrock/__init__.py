"""Amazon Bedrock: one host, many families of models.

Conversations go through Converse, whatever the dialect. Models that speak the Messages wire
themselves are spoken to in it, through InvokeModel, by clients that speak it.
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway.sdk import Adapter
from gateway.sdk.talk import Wire
from providers_plugins.bedrock import answer, faults, request, stream
from providers_plugins.bedrock.counting import COUNT_TOKENS
from providers_plugins.bedrock.embeddings import EMBEDDINGS
from providers_plugins.bedrock.invoke import INVOKE
from providers_plugins.bedrock.login import LOGIN
from providers_plugins.bedrock.models import speaks_messages

__all__ = ["ADAPTER", "INVOKE", "WIRE", "native", "speaks_messages"]

WIRE = Wire(build=request.build, read=answer.read, reader=stream.ConverseReader, fault=faults.fault)


def native(operation: str, upstream: str, options: Mapping[str, str]) -> bool:
    """Whether this model is served by the operation itself, and not through the wire."""
    del options
    return operation not in ("messages", "count_tokens") or speaks_messages(upstream)


ADAPTER = Adapter(
    name="bedrock",
    operations={"messages": INVOKE, "count_tokens": COUNT_TOKENS, "embeddings": EMBEDDINGS},
    wire=WIRE,
    login=LOGIN,
    native=native,
)
