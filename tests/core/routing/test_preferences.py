"""Preferences are read strictly, merged under a key's, and kept from providers."""

import re
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.body import JsonBody
from gateway.core.routing.preferences import (
    NO_PREFERENCES,
    NOWHERE,
    MaxPrice,
    Preferences,
    defaults_of,
    merged,
    preferences_of,
    strip,
)
from gateway.errors import Fault
from tests.core.routing.made import asked


def of(text):
    return preferences_of(JsonBody.parse(text.encode()))


def test_most_requests_say_nothing():
    """Then it is the one value that the quick way knows."""
    assert of('{"model":"m"}') is NO_PREFERENCES
    assert of('{"provider":null}') is NO_PREFERENCES
    assert of('{"provider":{}}') is NO_PREFERENCES
    assert of('{"provider":{"order":null}}') is NO_PREFERENCES
    assert of('{"route":"fallback"}') is NO_PREFERENCES


def test_all_that_can_be_said():
    """Under the names in use for it; names fold their case, and repeats go."""
    found = of(
        """{"models":["a","B","a"],"route":"fallback","provider":{
        "order":["Acme","other","ACME"],"only":["acme/eu"],"ignore":[],"allow_fallbacks":false,
        "sort":"latency","max_price":{"prompt":1.5,"completion":"2.50","request":0,"image":null},
        "require_parameters":true,"data_collection":"deny","zdr":true,"regions":["EU"]}}"""
    )
    assert found == Preferences(
        models=("a", "B"),
        order=("acme", "other"),
        only=("acme/eu",),
        allow_fallbacks=False,
        sort="latency",
        max_price=MaxPrice(Decimal("1.5"), Decimal("2.50"), Decimal(0)),
        require_parameters=True,
        data_collection="deny",
        zdr=True,
        regions=("eu",),
    )


@pytest.mark.parametrize(
    ("text", "param"),
    [
        ('{"provider":[]}', "provider"),
        ('{"provider":"acme"}', "provider"),
        ('{"provider":{"zdr":true,"zdr":false}}', "provider"),
        ('{"provider":{"oder":["acme"]}}', "provider.oder"),
        ('{"provider":{"order":"acme"}}', "provider.order"),
        ('{"provider":{"order":[1]}}', "provider.order"),
        ('{"provider":{"order":[""]}}', "provider.order"),
        ('{"provider":{"only":[]}}', "provider.only"),
        ('{"provider":{"ignore":{}}}', "provider.ignore"),
        ('{"provider":{"allow_fallbacks":"no"}}', "provider.allow_fallbacks"),
        ('{"provider":{"allow_fallbacks":0}}', "provider.allow_fallbacks"),
        ('{"provider":{"sort":"cheap"}}', "provider.sort"),
        ('{"provider":{"sort":{"by":"price"}}}', "provider.sort"),
        ('{"provider":{"max_price":5}}', "provider.max_price"),
        ('{"provider":{"max_price":{"prompt":-1}}}', "provider.max_price.prompt"),
        ('{"provider":{"max_price":{"prompt":"NaN"}}}', "provider.max_price.prompt"),
        ('{"provider":{"max_price":{"prompt":"Infinity"}}}', "provider.max_price.prompt"),
        ('{"provider":{"max_price":{"prompt":true}}}', "provider.max_price.prompt"),
        ('{"provider":{"max_price":{"prompt":"1_0"}}}', "provider.max_price.prompt"),
        ('{"provider":{"max_price":{"prompt":1e999}}}', "provider.max_price.prompt"),
        ('{"provider":{"sort":1e999}}', "provider.sort"),
        ('{"provider":{"order":[' + "9" * 400 + "]}}", "provider.order"),
        ('{"models":[1e999]}', "models"),
        ('{"provider":{"max_price":{"image":"1 dollar"}}}', "provider.max_price.image"),
        ('{"provider":{"max_price":{"audio":1}}}', "provider.max_price.audio"),
        ('{"provider":{"require_parameters":1}}', "provider.require_parameters"),
        ('{"provider":{"data_collection":"never"}}', "provider.data_collection"),
        ('{"provider":{"zdr":"yes"}}', "provider.zdr"),
        ('{"provider":{"regions":"eu"}}', "provider.regions"),
        ('{"provider":{"regions":[]}}', "provider.regions"),
        ('{"models":"a"}', "models"),
        ('{"models":[null]}', "models"),
        ('{"models":["' + "m" * 201 + '"]}', "models"),
        ('{"models":["' + '","'.join("abcdefghijklmnopq") + '"]}', "models"),
        ('{"route":"fastest"}', "route"),
    ],
)  # fmt: skip
def test_what_is_not_understood_is_refused_by_name(text, param):
    """Passing over it could send data where it must not go."""
    with pytest.raises(Fault) as caught:
        of(text)
    fault = caught.value
    assert (fault.kind.code, fault.param) == ("invalid_request", param)
    assert f"'{param}'" in fault.message


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(Preferences.__struct_fields__), ANY, max_size=4), ANY)
def test_anything_else_is_a_400(provider, models):
    """Never another error, whatever is sent."""
    raw = msgspec.json.encode({"provider": provider, "models": models})
    refusal = None
    try:
        found = preferences_of(JsonBody.parse(raw))
    except Fault as fault:
        refusal = fault
    if refusal is None:
        assert found.usual_sort is None
    else:
        assert refusal.kind.status == 400
        assert re.match(r"(?:provider|models)\b", refusal.param)


def test_a_request_goes_before_its_key():
    """Member by member; what it leaves unsaid is the key's."""
    key = defaults_of(
        b'{"order":["acme"],"only":["a"],"sort":"price","allow_fallbacks":false,'
        b'"max_price":{"prompt":1},"require_parameters":true}'
    )
    assert merged(NO_PREFERENCES, asked('{"sort":"price"}')) == asked('{"sort":"price"}')
    under = merged(key, NO_PREFERENCES)
    assert (under.order, under.only, under.allow_fallbacks) == (("acme",), ("a",), False)
    assert (under.sort, under.usual_sort, under.require_parameters) == (None, "price", True)
    over = merged(
        key,
        asked(
            '{"order":["b"],"sort":"latency","allow_fallbacks":true,"max_price":{"completion":3},'
            '"require_parameters":false}'
        ),
    )
    assert (over.order, over.only, over.allow_fallbacks) == (("b",), ("a",), True)
    assert (over.sort, over.require_parameters) == ("latency", False)
    assert over.max_price == MaxPrice(completion=Decimal(3))


@pytest.mark.parametrize(
    ("key", "request_", "policy"),
    [
        ('{"data_collection":"deny"}', '{"data_collection":"allow"}', ("deny", None, ())),
        ('{"data_collection":"allow"}', '{"data_collection":"deny"}', ("deny", None, ())),
        ('{"data_collection":"allow"}', '{"zdr":false}', ("allow", False, ())),
        ('{"zdr":true}', '{"zdr":false}', (None, True, ())),
        ('{"zdr":false}', '{"zdr":true}', (None, True, ())),
        ('{"regions":["eu"]}', '{"sort":"price"}', (None, None, ("eu",))),
        ('{"regions":["eu"]}', '{"regions":["eu-west-1","us"]}', (None, None, ("eu-west-1",))),
        ('{"regions":["eu-west-1"]}', '{"regions":["eu"]}', (None, None, ("eu-west-1",))),
        ('{"regions":["eu"]}', '{"regions":["us"]}', (None, None, (NOWHERE,))),
    ],
)
def test_what_a_key_protects_a_request_cannot_give_away(key, request_, policy):
    """It may ask for more, and never for less."""
    found = merged(asked(key), asked(request_))
    assert (found.data_collection, found.zdr, found.regions) == policy


def test_nothing_of_ours_goes_on():
    """Every other byte is the client's."""
    raw = (
        b'{ "model":"m", "provider":{"zdr":true}, "x": 1.0, "models":["a"], "route":"fallback",'
        b'"usage":{"include":true},"max_cost":1,"fidelity":"strict" }'
    )
    assert strip(JsonBody.parse(raw)).raw == b'{"model":"m","x":1.0}'
    plain = JsonBody.parse(b'{ "model": "m" }')
    assert strip(plain) is plain
