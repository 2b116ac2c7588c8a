"""MiniMax: conversations, and what else it makes."""

from msgspec import structs

from providers_plugins.minimax.chat import CHAT

ADAPTER = structs.replace(CHAT, operations={**CHAT.operations})
