"""xAI: OpenAI's two wires, with reasoning counted beside the answer on one of them."""

from msgspec import structs

from gateway.sdk import compatible, reasoning_outside
from gateway.sdk.talk import responses_operation, responses_wire, serves_itself

CHAT = compatible("xai", operations=("chat", "embeddings"), usage=reasoning_outside)

TALK = structs.replace(
    CHAT,
    operations={**CHAT.operations, "responses": responses_operation(usage=reasoning_outside)},
    wire=responses_wire(usage=reasoning_outside),
    native=serves_itself,
)
