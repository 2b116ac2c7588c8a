"""xAI: conversations, and what else it makes."""

from msgspec import structs

from providers_plugins.xai.chat import TALK
from providers_plugins.xai.images import IMAGES
from providers_plugins.xai.speech import SPEECH
from providers_plugins.xai.videos import VIDEOS

ADAPTER = structs.replace(
    TALK,
    operations={
        **TALK.operations,
        **IMAGES,
        "speech": SPEECH,
        "videos": VIDEOS,
    },
)
