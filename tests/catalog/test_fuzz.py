"""Whatever is done to the shipped file, loading answers with a catalog or a CatalogError."""

import random
import re
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.catalog.load import Catalog, CatalogError, parse

WHOLE = (Path(__file__).parents[2] / "catalog.yaml").read_text()


def _models(*ids: str) -> str:
    """The blocks of some models."""
    starts = [WHOLE.index(f"  {model_id}:\n") for model_id in ids]
    return "".join(WHOLE[start : WHOLE.index("\n\n", start) + 2] for start in starts)


# Every section, a model or two of each form: quick to load.
SMALL = (
    WHOLE[: WHOLE.index("  claude-opus-4-8:\n")]
    + _models("gpt-5.5", "gemini-3.1-pro", "nano-banana-2", "kimi-k2.6", "tts-1", "glm-tts")
    + WHOLE[WHOLE.index("  echo:\n") :]
)
WORDS = sorted(set(re.findall(r"[\w./$-]+|[^\w\s]", WHOLE)))
NASTY = [
    "{", "}", "[", "]", ":", "- ", "&a ", "*a", "!!str ", "<<: ", "~", "no", "1e3", ".nan", "-1",
    '"', "'", "|", ">", "#", "%", "@", "`", "\t", "\n", "\n---\n", "\x00", "\ud7ff", "é",
    "${X}", "${", "12:30:45", "? ", "99999999999999999999", '"5.00"', "{}", "[]",
]  # fmt: skip


def survives(raw: bytes) -> None:
    """The one thing that may be raised, and it says something."""
    try:
        assert type(parse(raw, {"OPENAI_API_KEY": "k"})) is Catalog
    except CatalogError as error:
        found = error.problems
    else:
        return
    assert found
    assert all(problem.line >= 1 and problem.message for problem in found)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_edits(data):
    """Cut, doubled, replaced and swapped pieces of text."""
    text = SMALL
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        end = min(len(text), start + data.draw(st.integers(0, 60)))
        piece = data.draw(st.sampled_from(NASTY) | st.sampled_from(WORDS) | st.text(max_size=6))
        text = text[:start] + piece + text[end:]
    survives(text.encode("utf-8", "surrogatepass"))


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200), st.integers(0, len(SMALL)))
def test_bytes(junk, at):
    """Any bytes, anywhere."""
    raw = SMALL.encode()
    survives(raw[:at] + junk + raw[at:])
    survives(junk)


@settings(max_examples=150, deadline=None)
@given(st.integers())
def test_values_of_the_wrong_kind(seed):
    """Each of a few scalars becomes something else; the form stays YAML."""
    rng = random.Random(seed)
    values = ["x", "1", "-1", "0.5", "true", "[]", "{}", "[x]", "{a: b}", '""', "'1'", "2020-01-01"]
    lines = SMALL.splitlines(keepends=True)
    for _ in range(rng.randint(1, 5)):
        at = rng.randrange(len(lines))
        lines[at] = re.sub(r": [^{\[\n]+$", lambda _: f": {rng.choice(values)}", lines[at])
    survives("".join(lines).encode())


def test_the_small_file_is_a_good_one():
    """Else the fuzz would fuzz nothing."""
    assert len(parse(SMALL.encode(), {}).routes) > 10


def test_lines_left_out_of_the_whole_file():
    """Each tenth line away, in turn: still an answer."""
    lines = WHOLE.splitlines(keepends=True)
    for away in range(10):
        survives("".join(line for at, line in enumerate(lines) if at % 10 != away).encode())
