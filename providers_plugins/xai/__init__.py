"""xAI: conversations, and what else it makes."""

from msgspec import structs

from providers_plugins.xai.chat import TALK

ADAPTER = structs.replace(TALK, operations={**TALK.operations})
