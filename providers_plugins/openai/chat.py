"""OpenAI: the wire that everybody else calls compatible. Bytes go through untouched.

Models that are to be had on the Responses API alone have routes with the option `api: responses`.
"""

from msgspec import structs

from gateway.sdk import compatible
from gateway.sdk.talk import RESPONSES_WIRE, responses_operation, serves_itself

CHAT = compatible(
    "openai",
    operations=(
        "chat",
        "completions",
        "embeddings",
        "moderations",
        "transcriptions",
        "translations",
    ),
)

TALK = structs.replace(
    CHAT,
    operations={**CHAT.operations, "responses": responses_operation()},
    wire=RESPONSES_WIRE,
    native=serves_itself,
    free_text=True,
)
