"""xAI: OpenAI's two wires. Its chat counts what was thought beside the answer."""

from __future__ import annotations

from msgspec import structs

from gateway.sdk import compatible, reasoning_outside, responses_operation

_COMPATIBLE = compatible("xai", operations=("chat", "embeddings"), usage=reasoning_outside)

ADAPTER = structs.replace(
    _COMPATIBLE, operations={**_COMPATIBLE.operations, "responses": responses_operation()}
)
