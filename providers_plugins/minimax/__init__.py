"""MiniMax: conversations, and what else it makes."""

from msgspec import structs

from providers_plugins.minimax.chat import CHAT
from providers_plugins.minimax.music import music
from providers_plugins.minimax.speech import SPEECH
from providers_plugins.minimax.videos import videos

ADAPTER = structs.replace(
    CHAT,
    operations={**CHAT.operations, "speech": SPEECH, **videos(), **music()},
)
