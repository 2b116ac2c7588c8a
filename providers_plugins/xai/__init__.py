"""xAI: conversations, and what else it makes."""

from msgspec import structs

from providers_plugins.xai.chat import TALK
from providers_plugins.xai.speech import SPEECH
from providers_plugins.xai.videos import VIDEOS

ADAPTER = structs.replace(
    TALK,
    operations={
        **TALK.operations,
        "speech": SPEECH,
        "videos": VIDEOS,
    },
)
