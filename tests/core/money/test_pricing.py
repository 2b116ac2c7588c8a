"""Usage into money: exact against fractions, never negative, every line in its unit."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.catalog import schema
from gateway.core.money.amounts import dollars, nanos_of
from gateway.core.money.checks import plausible, problem_of
from gateway.core.money.pricing import price_usage
from gateway.core.money.quote import affordable_output, quote, quotes
from gateway.core.money.receipt import decode_receipt, encode_receipt, row_digest, verify_receipt
from gateway.core.money.rows import PLAIN, canonical, factor_of, rows_of, scale_of
from gateway.domain import Price, Usage

PER = {
    "per_mtok": 10**6,
    "per_mchar": 10**6,
    "per_image": 1,
    "per_request": 1,
    "per_second": 1000,
    "per_minute": 60_000,
}
LINES = schema.PriceLines.__struct_fields__
_ANY = st.decimals(0, 10_000, places=12, allow_nan=False, allow_infinity=False)
AMOUNTS = _ANY | st.integers(0, 10_000).map(Decimal)  # those of whole nanodollars a token as well


def price(**lines: str) -> Price:
    made = Price({name: Decimal(value) for name, value in lines.items()})
    return msgspec.structs.replace(made, digest=row_digest(canonical(made)))


def exactly(lines: list[list[Any]], scale: int) -> int:
    total = Fraction(0)
    for name, quantity, amount in lines:
        (per,) = [per for unit, per in PER.items() if name.endswith(unit)]
        total += Fraction(quantity, per) * Fraction(amount)
    total *= Fraction(scale, PLAIN) * 10**9
    return -((-total) // 1)


@st.composite
def usages(draw: Any) -> Usage:
    """Any sound usage."""
    count = st.integers(0, 10**7)
    parts = draw(st.lists(count, min_size=5, max_size=5))
    cached_audio = draw(st.integers(0, min(parts[0], parts[3])))
    reasoning, audio_out, image_out = draw(st.lists(count, min_size=3, max_size=3))
    return Usage(
        input=sum(parts) + draw(count),
        cached=parts[0],
        cache_write=parts[1],
        cache_write_1h=parts[2],
        audio_input=parts[3],
        image_input=parts[4],
        cached_audio=cached_audio,
        output=reasoning + audio_out + image_out + draw(count),
        reasoning=reasoning,
        audio_output=audio_out,
        image_output=image_out,
        images=draw(st.integers(0, 100)),
        characters=draw(count),
        milliseconds=draw(count),
        audio_input_ms=draw(count),
        audio_output_ms=draw(count),
    )


@given(
    usage=usages(),
    lines=st.dictionaries(st.sampled_from(LINES), AMOUNTS, max_size=len(LINES)),
    multiplier=st.decimals(0, 100, places=12),
)
def test_exact(usage: Usage, lines: dict[str, Decimal], multiplier: Decimal) -> None:
    """The charge is the exact sum of its lines, rounded up once; no token is in two lines."""
    assert problem_of(usage) == ""
    scale = scale_of(multiplier)
    cost = price_usage(rows_of(Price(lines)), usage, scale)
    told = msgspec.json.decode(b"[" + cost.lines + b"]")
    assert cost.total == exactly(told, scale) >= 0
    names = [name for name, _, _ in told]
    assert len(names) == len(set(names)) or "cache_write_5m_per_mtok" in names
    inputs = [
        q for n, q, _ in told if n.endswith("_mtok") and "output" not in n and "reas" not in n
    ]
    assert sum(inputs) <= usage.input
    timed = "audio_input_per_minute" in lines and "audio_input_per_mtok" not in lines
    if "input_per_mtok" in lines and not timed:
        assert sum(inputs) == usage.input


@given(usage=usages(), lines=st.dictionaries(st.sampled_from(LINES), AMOUNTS, max_size=6))
def test_every_receipt_can_be_recomputed(usage: Usage, lines: dict[str, Decimal]) -> None:
    """A receipt holds as it was made, and no longer once any figure in it is changed."""
    of = Price(lines)
    row = canonical(of)
    cost = price_usage(rows_of(of), usage)
    digest = row_digest(row)
    stored = encode_receipt(digest.encode(), PLAIN, usage, cost, cost.total)
    assert isinstance(stored, bytearray)  # as its type hints do not have it
    receipt = decode_receipt(stored)
    assert verify_receipt(receipt, row) == []
    assert verify_receipt(receipt | {"total": cost.total + 1}, row)
    assert verify_receipt(receipt | {"charged": cost.total + 1}, row)
    assert verify_receipt(receipt | {"price": "0" * 64}, row)
    for place, (name, quantity, amount) in enumerate(receipt["lines"]):
        changed = [list(line) for line in receipt["lines"]]
        changed[place] = [name, quantity, str(Decimal(amount) + 1)]
        assert verify_receipt(receipt | {"lines": changed}, row)


def test_a_million_small_calls() -> None:
    """Each is rounded up by less than a nanodollar, and none is free."""
    rows = rows_of(price(input_per_mtok="0.000000000001", output_per_mtok="0"))
    assert price_usage(rows, Usage(1, 0)).total == 1
    assert price_usage(rows, Usage(0, 10**9)).total == 0
    rows = rows_of(price(input_per_mtok="0.15", output_per_mtok="0.6"))
    total = sum(price_usage(rows, Usage(n % 90, n % 7)).total for n in range(100_000))
    exact = sum(Fraction(n % 90 * 150 + n % 7 * 600, 1) for n in range(100_000))
    assert exact <= total < exact + 100_000


@pytest.mark.parametrize(
    ("lines", "usage", "nanos"),
    [
        ({"input_per_mtok": "3", "output_per_mtok": "15"}, Usage(1000, 100), 4_500_000),
        ({"input_per_mtok": "3", "cached_input_per_mtok": "0.3"}, Usage(10, 0, 4), 19_200),
        ({"input_per_mtok": "3"}, Usage(10, 0, 4), 30_000),
        (
            {"input_per_mtok": "4", "cache_write_5m_per_mtok": "5", "cache_write_1h_per_mtok": "8"},
            Usage(10, 0, 0, 3, cache_write_1h=2),
            51_000,
        ),
        (
            {"input_per_mtok": "4", "cache_write_5m_per_mtok": "5"},
            Usage(2, cache_write_1h=2),
            10_000,
        ),
        ({"output_per_mtok": "2", "reasoning_per_mtok": "3"}, Usage(0, 10, reasoning=4), 24_000),
        ({"output_per_mtok": "2"}, Usage(0, 10, reasoning=4), 20_000),
        ({"input_per_mtok": "1", "audio_input_per_mtok": "9"}, Usage(10, audio_input=3), 34_000),
        (
            {"output_per_mtok": "1", "audio_output_per_mtok": "9"},
            Usage(0, 9, audio_output=9),
            81_000,
        ),
        ({"per_image": "0.04"}, Usage(images=3), 120_000_000),
        ({"per_second": "0.5"}, Usage(milliseconds=1500), 750_000_000),
        ({"per_minute": "0.006"}, Usage(milliseconds=90_000), 9_000_000),
        (
            {"input_per_mtok": "5", "audio_input_per_minute": "0.06"},
            Usage(100, audio_input=90, audio_input_ms=30_000),
            30_050_000,
        ),
        (
            {"output_per_mtok": "20", "audio_output_per_minute": "0.24"},
            Usage(0, 100, audio_output=75, audio_output_ms=3_000),
            12_500_000,
        ),
        (
            {
                "input_per_mtok": "4",
                "cached_input_per_mtok": "0.4",
                "audio_input_per_minute": "0.06",
            },
            Usage(100, cached=50, audio_input=60, cached_audio=30),
            100_000,
        ),
        (
            {
                "input_per_mtok": "4",
                "cached_audio_input_per_mtok": "0.5",
                "audio_input_per_minute": "0.06",
            },
            Usage(100, cached=30, audio_input=60, cached_audio=30),
            175_000,
        ),
        (
            {"input_per_mtok": "5", "audio_input_per_mtok": "9", "audio_input_per_minute": "0.06"},
            Usage(10, audio_input=10, audio_input_ms=1_000),
            1_090_000,
        ),
        ({"per_mchar": "15"}, Usage(characters=1000), 15_000_000),
        ({"per_request": "0.01"}, Usage(), 10_000_000),
        ({}, Usage(10, 10), 0),
    ],
)
def test_each_unit(lines: dict[str, str], usage: Usage, nanos: int) -> None:
    """Every kind of price line, in its unit."""
    assert price_usage(rows_of(price(**lines)), usage).total == nanos


def test_tiers() -> None:
    """Past a threshold the whole row holds; so does the row of a size."""
    lines = {"input_per_mtok": Decimal(1), "output_per_mtok": Decimal(2)}
    dear = {"input_per_mtok": Decimal(10), "output_per_mtok": Decimal(20)}
    tiers = rows_of(Price(lines, "tiers", above_tokens=((200, dear),)))
    assert price_usage(tiers, Usage(200, 1)).total == 202_000
    assert price_usage(tiers, Usage(201, 1)).total == 2_030_000
    sizes = {"2k": {"per_image": Decimal(3)}, "4k": {"per_image": Decimal(6)}}
    images = rows_of(Price({"per_image": Decimal(1)}, "sizes", at_size=sizes))
    for size, each in (("", 1), ("2k", 3), ("4k", 6), ("4K", 6), ("8k", 1)):
        assert price_usage(images, Usage(images=2, size=size)).total == 2 * each * 10**9


def test_every_line_has_a_unit() -> None:
    """No price line of the catalog is left unpriced."""
    for name in LINES:
        assert factor_of(name) > 0


@given(
    tokens=st.integers(0, 10**6),
    nanos=st.integers(0, 10**12),
    most=st.integers(0, 10**6),
    lines=st.fixed_dictionaries(
        {"input_per_mtok": AMOUNTS, "output_per_mtok": AMOUNTS, "reasoning_per_mtok": AMOUNTS}
    ),
    multiplier=st.decimals(0, 10, places=6),
)
def test_what_money_pays_for(
    tokens: int, nanos: int, most: int, lines: dict[str, Decimal], multiplier: Decimal
) -> None:
    """The answer that some money affords is quoted within it; a token more would not be."""
    rows, scale = rows_of(Price(lines)), scale_of(multiplier)
    affords = affordable_output(rows, tokens, nanos, most, scale)
    assert -1 <= affords <= most
    if affords >= 0:
        assert quote(rows, tokens, affords, scale) <= nanos
    if affords < most:
        assert quote(rows, tokens, affords + 1, scale) > nanos


@given(
    tokens=st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)),
    lines=st.dictionaries(
        st.sampled_from(("input_per_mtok", "output_per_mtok", "per_request")), AMOUNTS
    ),
    multiplier=st.just(Decimal(1)) | st.decimals(0, 10, places=6),
    units=st.just(0) | st.integers(0, 10**15),
)
def test_both_quotes(
    tokens: tuple[int, int], lines: dict[str, Decimal], multiplier: Decimal, units: int
) -> None:
    """What is quoted for the input and for all at once is what is quoted for each alone."""
    rows, scale = rows_of(Price(lines)), scale_of(multiplier)
    alone = quote(rows, tokens[0], 0, scale), quote(rows, *tokens, scale, units)
    assert quotes(rows, *tokens, scale, units) == alone


@given(usage=usages(), lines=st.dictionaries(st.sampled_from(LINES[:4]), AMOUNTS))
def test_a_quote_covers_plain_usage(usage: Usage, lines: dict[str, Decimal]) -> None:
    """What is quoted for so many tokens is no less than they cost without extras."""
    plain = Usage(usage.input, usage.output)
    rows = rows_of(Price(lines))
    assert quote(rows, plain.input, plain.output) >= price_usage(rows, plain).total


@given(st.integers(-(10**17), 10**17))
def test_amounts(nanos: int) -> None:
    """Dollars and nanodollars are the same thing, exactly."""
    assert nanos_of(dollars(nanos)) == nanos


@pytest.mark.parametrize(
    "wrong", ["", "x", "NaN", "inf", True, "1e30", "0.0000000001", None, "1 2"]
)
def test_no_amounts(wrong: Any) -> None:
    """What is no amount of whole nanodollars is refused in words."""
    with pytest.raises(ValueError, match=r"dollars|decimals"):
        nanos_of(wrong)


@pytest.mark.parametrize(
    "usage",
    [
        Usage(-1), Usage(0, -1), Usage(1 << 53), Usage(5, 0, 6), Usage(5, 0, 3, 3),
        Usage(0, 5, 0, 0, 6),
        Usage(5, 0, cached=-1), Usage(5, audio_input=6), Usage(5, 5, audio_output=6),
        Usage(5, 0, 2, cached_audio=3), Usage(images=-1), Usage(milliseconds=-1),
        Usage(5, cache_write_1h=6), Usage(problem="said so"), Usage(characters=1 << 60),
    ],
)  # fmt: skip
def test_what_cannot_be(usage: Usage) -> None:
    """Each invariant, broken alone, is noticed."""
    assert problem_of(usage)


def test_plausible() -> None:
    """Text without tokens, and too few tokens for the text."""
    assert plausible(Usage(5, 0), 100, 3)
    assert plausible(Usage(5, 1), 65, 1)
    assert plausible(Usage(5, 1), 64, 1) == ""
    assert plausible(Usage(5, 0), 0, 1) == ""


@pytest.mark.parametrize("raw", [b"{", b'{"a":1}', b"\xff\x00", b'"\n', b"[" * 5000, b"x" * 20_000])
def test_receipts_keep_whatever_came(raw: bytes) -> None:
    """Usage that is no JSON is kept as text, and breaks no receipt."""
    rows = rows_of(price(input_per_mtok="1", output_per_mtok="1"))
    cost = price_usage(rows, Usage(1, 1))
    stored = encode_receipt(b"d", PLAIN, Usage(1, 1, raw=raw), cost, 2000, {"flag": 'a"b\n'})
    receipt = decode_receipt(stored)
    assert receipt["note"] == {"flag": 'a"b\n'}
    assert ("usage" in receipt) is (raw == b'{"a":1}')
    assert len(stored) < 60_000
