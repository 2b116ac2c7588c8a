"""MiniMax: conversations, and what else it makes."""

from msgspec import structs

from providers_plugins.minimax.chat import CHAT
from providers_plugins.minimax.images import IMAGES
from providers_plugins.minimax.music import MUSIC
from providers_plugins.minimax.speech import SPEECH
from providers_plugins.minimax.videos import VIDEOS

ADAPTER = structs.replace(
    CHAT,
    operations={
        **CHAT.operations,
        **IMAGES,
        "speech": SPEECH,
        "videos": VIDEOS,
        "music": MUSIC,
    },
)
