"""Hosts that speak OpenAI's wire: a row each, and what sets each apart.

A host that needs more than its row can say has a module of its own.
"""

from __future__ import annotations

from gateway.sdk import Quirks, Spelling, compatible, normalise

# Servers of one's own tell what was thought as `reasoning`. All else goes through, guided
# decoding and sampling members included.
_SELF_HOSTED = Spelling(thoughts=("reasoning",), details=True, broken=frozenset({"error"}))

EVERYTHING = (
    "chat",
    "completions",
    "embeddings",
    "moderations",
    "rerank",
    "speech",
    "transcriptions",
    "translations",
)

OLLAMA = compatible(
    "ollama",
    quirks=Quirks(
        roles={"developer": "system"},
        rename={"max_completion_tokens": "max_tokens"},
        steps=(
            normalise.tools_only,
            normalise.one_choice,
            normalise.without("logit_bias"),
            normalise.renamed_in_messages("reasoning_content", "reasoning"),
        ),
    ),
    spelling=_SELF_HOSTED,
)

VLLM = compatible(
    "vllm",
    quirks=Quirks(roles={"developer": "system"}, steps=(normalise.tools_only,)),
    operations=EVERYTHING,
    spelling=_SELF_HOSTED,
)

# Any other host: llama.cpp, a colleague's server. It gets what the client sent, and its bytes pass.
GENERIC = compatible("openai-compatible", operations=(*EVERYTHING, "images", "image_edits"))
