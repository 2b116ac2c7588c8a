"""Alibaba's Model Studio (DashScope): conversations, and what else it makes."""

from msgspec import structs

from providers_plugins.alibaba.chat import CHAT
from providers_plugins.alibaba.hearing import TRANSCRIPTIONS
from providers_plugins.alibaba.speech import SPEECH
from providers_plugins.alibaba.vectors import EMBEDDINGS, RERANK
from providers_plugins.alibaba.videos import VIDEOS

ADAPTER = structs.replace(
    CHAT,
    operations={
        **CHAT.operations,
        "embeddings": EMBEDDINGS,
        "rerank": RERANK,
        "speech": SPEECH,
        "transcriptions": TRANSCRIPTIONS,
        "videos": VIDEOS,
    },
)
