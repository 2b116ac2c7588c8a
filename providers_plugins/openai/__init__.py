"""OpenAI: conversations, and what else it makes."""

from msgspec import structs

from providers_plugins.openai.chat import TALK

ADAPTER = structs.replace(TALK, operations={**TALK.operations})
