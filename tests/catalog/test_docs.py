"""docs/catalog.md explains every key there is, and none that there is not."""

import re
import typing
from pathlib import Path

import msgspec
import pytest

from gateway.catalog import schema

DOCS = (Path(__file__).parents[2] / "docs" / "catalog.md").read_text()
SECTIONS = {
    "The file": schema.File,
    "`surfaces`": schema.Surface,
    "`providers`": schema.Provider,
    "`credentials`": schema.Credential,
    "`probe`": schema.Probe,
    "`data`": schema.Data,
    "`timeouts`": schema.Timeouts,
    "`models`": schema.Model,
    "`routes`": schema.Route,
    "`price`": schema.Price,
    "`auto`": schema.Auto,
    "`among`": schema.Among,
    "`groups`": schema.Group,
    "`anonymous`": schema.Anonymous,
    "`webhooks`": schema.Webhooks,
}


def section(title: str) -> str:
    return DOCS.split(f"### {title}\n", 1)[1].split("\n### ", 1)[0].split("\n## ", 1)[0]


@pytest.mark.parametrize(("title", "struct"), SECTIONS.items(), ids=SECTIONS)
def test_every_key_is_documented(title, struct):
    """The first table of each section lists exactly the fields of its struct."""
    table = re.search(r"\| key \|.*\n\|[-|]+\n((?:\|.*\n)+)", section(title))
    assert table
    keys = [k for row in table[1].splitlines() for k in re.findall(r"`(\w+)`", row.split("|")[1])]
    assert sorted(keys) == sorted(struct.__struct_fields__)


def test_every_struct_has_a_section():
    """A new one can't be forgotten."""
    structs = {
        value
        for value in vars(schema).values()
        if isinstance(value, type) and issubclass(value, msgspec.Struct) and value.__struct_fields__
    }
    assert structs - {schema.PriceLines, schema.FreeOnly} == set(SECTIONS.values())


@pytest.mark.parametrize("name", ["Kind", "Tier", "Capability", "Style", "Choose"])
def test_every_word_of_a_closed_set_is_documented(name):
    """In backquotes, somewhere."""
    for word in typing.get_args(getattr(schema, name)):
        assert f"`{word}`" in DOCS


def test_the_example_loads(load):
    """What the page opens with is a whole catalog."""
    example = DOCS.split("```yaml\n", 1)[1].split("```", 1)[0]
    assert load(example).candidates("gpt-4o-mini")
