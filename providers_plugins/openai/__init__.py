"""OpenAI: conversations, and what else it makes."""

from msgspec import structs

from providers_plugins.openai.chat import TALK
from providers_plugins.openai.images import IMAGES
from providers_plugins.openai.realtime import REALTIME
from providers_plugins.openai.speech import SPEECH
from providers_plugins.openai.videos import VIDEOS

ADAPTER = structs.replace(
    TALK,
    operations={
        **TALK.operations,
        **IMAGES,
        "speech": SPEECH,
        "videos": VIDEOS,
        **REALTIME,
    },
)
