"""YAML is read strictly: nothing surprising gets in, nothing costly gets done."""

from collections.abc import Iterator
from typing import Any

import pytest

from gateway.catalog import document
from gateway.catalog.document import MAX_BYTES, MAX_EVENTS


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A mark for each piece of a text that has been parsed."""
    marks: list[int] = []
    events = document._events

    def counted(text: str) -> Iterator[Any]:
        for event in events(text):
            marks.append(1)
            yield event

    monkeypatch.setattr(document, "_events", counted)
    return marks


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("", 1, "empty"),
        ("  \n\n", 1, "empty"),
        ("# only a comment\n", 1, "one mapping"),
        ("- 1\n", 1, "one mapping"),
        ("version", 1, "one mapping"),
        ("version: 1\n---\nversion: 1\n", 2, "more than one document"),
        ("version: 1\na: &x {b: 1}\n", 2, "anchors"),
        ("version: 1\na: *x\n", 2, "aliases"),
        ("a: &a [*a]\n", 1, "anchors"),
        ("version: 1\nb: {<<: {a: 1}}\n", 2, "merge keys"),
        ("version: !!int 1\n", 1, "tags"),
        ("version: !!python/object/apply:os.system ['true']\n", 1, "tags"),
        ("version: 1\nmodels: {a: {\n", 3, "not valid YAML"),
        ("version: 1\n\tx: 2\n", 2, "not valid YAML"),
        ("version: 1\nx: \x07\n", 2, "forbidden character"),
        ("? [a, b]\n: 1\n", 1, "a key must be a plain word"),
        ("? {a: b}\n: 1\n", 1, "a key must be a plain word"),
        ("version: 1\nno: 1\n", 2, "quote it"),
        ("version: 1\n1.5: 1\n", 2, "quote it"),
        ("version: 1\n~: 1\n", 2, "quote it"),
        ("version: 1\n2026-01-01: 1\n", 2, "quote it"),
    ],
)
def test_a_trap_is_refused_at_its_line(refuse, text, line, says):
    """One problem, the right line, a reason."""
    (problem,) = refuse(text)
    assert (problem.line, says in problem.message) == (line, True), problem


def test_other_encodings_are_refused(refuse):
    """UTF-16 and broken UTF-8 never reach the parser."""
    assert "not UTF-8" in refuse("version: 1\n".encode("utf-16"))[0].message
    (problem,) = refuse(b"version: 1\nmodels: {}\nx: \xff\n")
    assert (problem.line, problem.message) == (3, "not UTF-8")


def test_a_byte_order_mark_is_nothing(load, good):
    """Editors on Windows write one."""
    assert load("\ufeff" + good).models


def test_a_huge_file_is_refused_at_once(refuse, parsed):
    """A file over the limit is not parsed."""
    (problem,) = refuse(b"a: " + b"x" * MAX_BYTES)
    assert "larger than" in problem.message
    assert parsed == []


def test_100_megabytes_on_disk_are_not_read(tmp_path):
    """Only the limit and one byte are ever taken from the file."""
    from gateway.catalog.load import CatalogError, load

    path = tmp_path / "catalog.yaml"
    with path.open("wb") as file:
        file.truncate(100 * 1024 * 1024)
    with pytest.raises(CatalogError, match="larger than 8388608 bytes"):
        load(path, {})


@pytest.mark.parametrize("piece", ["[", "{a: ", "- ", "{[", "? "])
def test_deep_nesting_is_cheap_to_refuse(refuse, parsed, piece):
    """A hundred thousand levels cost no stack and are not read to their end."""
    (problem,) = refuse("version: 1\na: " + piece * 100_000 if piece != "- " else piece * 100_000)
    assert problem.message
    assert len(parsed) < 100


def test_thirty_two_levels_are_the_limit(refuse):
    """The level beyond is named."""
    (problem,) = refuse("version: 1\na: " + "[" * 31 + "]" * 31 + "\nb: " + "[" * 32 + "]" * 32)
    assert problem.line == 3
    assert "deeper than 32" in problem.message


def test_an_alias_bomb_stops_at_the_first_anchor(refuse):
    """Nothing is ever expanded."""
    lines = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 40)]
    (problem,) = refuse("\n".join(lines))
    assert (problem.line, "anchors" in problem.message) == (1, True)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("no", "YAML reads this as true or false"),
        ("On", "YAML reads this as true or false"),
        ("010", "its own reading of this"),
        ("0x10", "its own reading of this"),
        ("1_000", "its own reading of this"),
        ("12:30:45", "its own reading of this"),
        (".nan", "its own reading of this"),
        ("-.inf", "its own reading of this"),
        ("1.5e+3", "its own reading of this"),
        ("~", "has no value"),
        ("", "has no value"),
        ("1e3", "must be a whole number"),
        ("-5", "must be a whole number"),
        ("0", "must be a whole number"),
        ("2.5", "must be a whole number"),
        ("true", "must be a whole number"),
        ('"1000"', "must be a whole number"),
        ("99999999999999999999", "its own reading"),
    ],
)
def test_a_number_must_be_a_plain_number(refuse, value, says):
    """What YAML would silently turn into something else is refused where a count stands."""
    (problem,) = refuse("context: 1000000", f"context: {value}")
    assert problem.path == "models.big.context"
    assert says in problem.message


@pytest.mark.parametrize(
    ("value", "fine"),
    [
        ('"5.00"', True),
        ("'5'", True),
        ('"0"', True),
        ('"0.000000000001"', True),
        ('"9999999.999999999999"', True),
        ("5.00", False),
        ("5", False),
        ("1e3", False),
        ("12:30:45", False),
        (".nan", False),
        ("-5.00", False),
        ("no", False),
        ('"-5.00"', False),
        ('"+5"', False),
        ('"NaN"', False),
        ('"Infinity"', False),
        ('"1e3"', False),
        ('"5."', False),
        ('".5"', False),
        ('"05"', False),
        ('"5,00"', False),
        ('" 5"', False),
        ('"5\\n"', False),
        ('"٥"', False),
        ('""', False),
        ('"0.0000000000001"', False),
        ('"10000000"', False),
        ("[5]", False),
        ("{a: 5}", False),
    ],
)
def test_a_price_must_be_a_quoted_decimal(load, refuse, good, value, fine):
    """Money never passes through a float."""
    if fine:
        assert load(good.replace('"5.00"', value)).routes["big"].price.lines
        return
    (problem,) = refuse('"5.00"', value)
    assert problem.path == "models.big.routes.big.price.input_per_mtok"


def test_doubled_keys_are_refused_at_any_level(refuse):
    """The second line and the first are both named."""
    (top,) = refuse("version: 1\n", "version: 1\nversion: 1\n")
    assert (top.path, top.message) == ("version", "written twice (line 1 and line 2)")
    (inner,) = refuse('input_per_mtok: "5.00"', 'input_per_mtok: "5.00", input_per_mtok: "6.00"')
    assert inner.path == "models.big.routes.big.price.input_per_mtok"
    (quoted,) = refuse("vendor: Acme\n", 'vendor: Acme\n    "vendor": Other\n')
    assert quoted.path == "models.big.vendor"


def test_a_doubled_mapping_does_not_confuse_what_follows(refuse):
    """The one doubled is reported, and what is inside the second copy is read past."""
    problems = refuse(
        "  echo:\n    name: Echo\n", "  big: {name: no, x: [{y: ~}]}\n  echo:\n    name: Echo\n"
    )
    assert "models.big" in {problem.path for problem in problems}


def test_without_the_c_parser_nothing_differs(load, refuse, good, shipped, monkeypatch):
    """PyYAML may have been built without libyaml."""
    import yaml

    from gateway.catalog import document

    quick = load(shipped.read_text())
    monkeypatch.setattr(document, "_Loader", yaml.SafeLoader)
    assert load(shipped.read_text()) == quick
    for text in ("a: &x 1\n", "a: [1\n", "a: \x07\n", "a: no\na: 1\n", "version: 1\n---\n"):
        assert refuse(text)
    assert "deeper than" in refuse("a: " + "[" * 100_000)[0].message


@pytest.mark.parametrize("line", ["- - - -", "k{}: 1"])
def test_a_flood_of_entries_is_not_read_to_its_end(refuse, parsed, line):
    """Eight megabytes of brackets would otherwise keep the reader busy for long."""
    text = "\n".join(line.format(n) for n in range(600_000))
    assert "too many entries" in refuse(text)[0].message
    assert len(parsed) == MAX_EVENTS + 2


def test_no_more_than_a_thousand_problems_are_told(refuse):
    """The report goes to the logs."""
    assert len(refuse("version: 1\n" + "".join(f"k{n}: 1\n" for n in range(5000)))) == 1000
