"""Alibaba's Model Studio (DashScope): conversations, and what else it makes."""

from msgspec import structs

from providers_plugins.alibaba.chat import CHAT

ADAPTER = structs.replace(CHAT, operations={**CHAT.operations})
