"""Zhipu GLM (BigModel and Z.ai): conversations, and what else it makes."""

from msgspec import structs

from providers_plugins.zhipu.chat import CHAT

ADAPTER = structs.replace(CHAT, operations={**CHAT.operations})
