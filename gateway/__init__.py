"""Isthmus Gateway: one OpenAI-compatible API in front of every major model provider."""

__version__ = "0.1.0"
