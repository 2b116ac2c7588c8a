"""Zhipu GLM (BigModel and Z.ai): conversations, and what else it makes."""

from msgspec import structs

from providers_plugins.zhipu.chat import CHAT
from providers_plugins.zhipu.hearing import TRANSCRIPTIONS
from providers_plugins.zhipu.vectors import EMBEDDINGS

FINDING = {"embeddings": EMBEDDINGS, "transcriptions": TRANSCRIPTIONS}

ADAPTER = structs.replace(CHAT, operations={**CHAT.operations, **FINDING})
