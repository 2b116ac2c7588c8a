"""Alibaba's Model Studio (DashScope): conversations, and what else it makes."""

from msgspec import structs

from providers_plugins.alibaba.chat import CHAT
from providers_plugins.alibaba.hearing import TRANSCRIPTIONS
from providers_plugins.alibaba.vectors import EMBEDDINGS, RERANK

FINDING = {"embeddings": EMBEDDINGS, "rerank": RERANK, "transcriptions": TRANSCRIPTIONS}

ADAPTER = structs.replace(CHAT, operations={**CHAT.operations, **FINDING})
