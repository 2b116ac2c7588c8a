"""Zhipu GLM (BigModel and Z.ai): conversations, and what else it makes."""

from msgspec import structs

from providers_plugins.zhipu.chat import CHAT
from providers_plugins.zhipu.hearing import TRANSCRIPTIONS
from providers_plugins.zhipu.images import IMAGES
from providers_plugins.zhipu.realtime import REALTIME
from providers_plugins.zhipu.speech import SPEECH
from providers_plugins.zhipu.vectors import EMBEDDINGS
from providers_plugins.zhipu.videos import VIDEOS

ADAPTER = structs.replace(
    CHAT,
    operations={
        **CHAT.operations,
        **IMAGES,
        "embeddings": EMBEDDINGS,
        "speech": SPEECH,
        "transcriptions": TRANSCRIPTIONS,
        "videos": VIDEOS,
        **REALTIME,
    },
)
