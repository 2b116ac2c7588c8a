"""No recorded case of this provider is left out."""

from __future__ import annotations

from tests import recorded

pytestmark = recorded.needs_corpus


def test_every_case_is_read() -> None:
    """Each recorded case is of an operation and a wire that a test above covers."""
    known = {("chat", "converse"), ("chat", "bedrock_invoke"), ("chat_stream", "converse"),
             ("chat_stream", "bedrock_invoke")}  # fmt: skip
    folder = recorded.CORPUS / "bedrock"
    operations = {path.name for path in folder.iterdir() if path.is_dir()}
    assert operations == {"chat", "chat_stream", "embeddings", "count_tokens", "error"}
    for operation in ("chat", "chat_stream"):
        for case in recorded.cases("bedrock", operation):
            assert (operation, recorded.meta(case)["api"]) in known
