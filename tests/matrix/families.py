"""Every family of providers, by name."""

from __future__ import annotations

from tests.matrix.bedrock import Converse, Invoke
from tests.matrix.chat import Chat
from tests.matrix.family import Family
from tests.matrix.gemini import Gemini, Vertex
from tests.matrix.messages import Messages
from tests.matrix.responses import Responses

FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (Chat(), Responses(), Messages(), Gemini(), Vertex(), Converse(), Invoke())
}
