"""The official clients, made quickly: reading the certificates takes 20 ms each, for nothing."""

from __future__ import annotations

import ssl
from typing import Any

import anthropic
import openai

_TLS = ssl.create_default_context()


def openai_client(base_url: str, api_key: str, **more: Any) -> openai.AsyncOpenAI:
    """OpenAI's, in all else as it comes."""
    http = openai.DefaultAsyncHttpxClient(verify=_TLS)
    return openai.AsyncOpenAI(base_url=base_url, api_key=api_key, http_client=http, **more)


def anthropic_client(base_url: str, api_key: str, **more: Any) -> anthropic.AsyncAnthropic:
    """Anthropic's, in all else as it comes."""
    http = anthropic.DefaultAsyncHttpxClient(verify=_TLS)
    return anthropic.AsyncAnthropic(base_url=base_url, api_key=api_key, http_client=http, **more)
