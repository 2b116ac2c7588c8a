"""OpenAI: the wire that everybody else calls compatible. Bytes go through untouched."""

from gateway.sdk import compatible

ADAPTER = compatible("openai")
