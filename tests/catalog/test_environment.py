"""`${VAR}`: filled inside text values only, absent credentials, loud errors elsewhere."""

import pytest


def credentials(catalog):
    return [(c.name, c.secrets, c.weight) for c in catalog.providers["acme"].credentials]


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, []),
        ({"ACME_KEY": ""}, []),
        ({"ACME_KEY": "k"}, [("main", {"api_key": "k"}, 2)]),
        ({"ACME_KEY_2": "s"}, [("spare", {"api_key": "s"}, 1)]),
        (
            {"ACME_KEY": "k", "ACME_KEY_2": "s"},
            [("main", {"api_key": "k"}, 2), ("spare", {"api_key": "s"}, 1)],
        ),
    ],
)
def test_a_credential_whose_variable_is_unset_or_empty_is_absent(load, environ, expected):
    """And its provider stays."""
    assert credentials(load(environ=environ)) == expected


def test_what_is_printed_of_a_catalog_holds_no_secret(load):
    """However deep a login lies in what a traceback or an adapter's author prints."""
    catalog = load(environ={"ACME_KEY": "canary", "ACME_KEY_2": "canary"})
    assert "Credential('spare')" in repr(catalog.providers["acme"])
    assert "canary" not in repr(catalog.providers)
    assert "canary" not in repr(catalog.routes)


def test_a_default_fills_in(load, good):
    """Both for an unset and for an empty variable, as in a shell."""
    text = good.replace("https://api.acme.example", '"https://${HOST:-api.acme.example}/x/"')
    assert load(text).providers["acme"].base_url == "https://api.acme.example/x"
    assert load(text, {"HOST": ""}).providers["acme"].base_url == "https://api.acme.example/x"
    assert load(text, {"HOST": "h"}).providers["acme"].base_url == "https://h/x"


def test_an_empty_default_makes_one_secret_optional(load, good):
    """A session token that is not there leaves the rest of the login."""
    text = good.replace('api_key: "${ACME_KEY}"', 'access_key: "${A}", session_token: "${T:-}"')
    assert credentials(load(text, {"A": "a"})) == [("main", {"access_key": "a"}, 2)]
    assert credentials(load(text, {"A": "a", "T": "t"}))[0][1] == {
        "access_key": "a",
        "session_token": "t",
    }
    assert credentials(load(text, {"T": "t"})) == []


def test_elsewhere_an_unset_variable_is_an_error(refuse):
    """With the name of the variable and the line."""
    (problem,) = refuse("vendor: Acme", 'vendor: "${VENDOR}"')
    assert (problem.line, problem.path) == (16, "models.big.vendor")
    assert problem.message == "the environment variable VENDOR is not set"


def test_a_value_is_not_looked_at_again(load, good):
    """No variable can pull in another, and none can add YAML."""
    text = good.replace("vendor: Acme", 'vendor: "${V}"')
    catalog = load(text, {"V": "${HOME} {a: b}\n- x"})
    assert catalog.models["big"].vendor == "${HOME} {a: b}\n- x"


@pytest.mark.parametrize("bad", ["${", "${}", "${1A}", "${A-b}", "${A", "${A:-${B}}"])
def test_a_malformed_reference_is_an_error(refuse, bad):
    """Never passed on as it stands."""
    problems = refuse("vendor: Acme", f'vendor: "x{bad}"', environ={"A": "a", "B": "b"})
    assert "malformed reference" in problems[0].message


def test_keys_are_not_filled(refuse):
    """Only values are."""
    problems = refuse("  sim: {", '  "${A}": {', environ={"A": "sim"})
    assert "must be a name" in problems[0].message


def test_a_dollar_alone_is_a_dollar(load, good):
    """No escaping is needed."""
    assert load(good.replace("name: Big", 'name: "$5 {x} $$"')).models["big"].name == "$5 {x} $$"


def test_a_secret_with_a_line_break_is_refused_unseen(refuse):
    """It would break a header; and a problem never repeats a secret."""
    (problem,) = refuse("version: 1", "version: 1", environ={"ACME_KEY": "sk-hush\n"})
    assert problem.path == "providers.acme.credentials[0].api_key"
    assert "hush" not in str(problem)


def test_a_problem_never_repeats_a_value_from_the_file(refuse):
    """A key pasted without quotes may look like a number."""
    for value in ("01234567", "5550123", "12:34:56", "[5550123]"):
        problems = refuse('api_key: "${ACME_KEY}"', f"api_key: {value}")
        assert problems
        assert not any(value.strip("[]") in str(problem) for problem in problems)


def test_a_service_account_may_have_lines(load, good):
    """It is a JSON document."""
    text = good.replace('api_key: "${ACME_KEY}"', 'service_account: "${ACME_KEY}"')
    assert credentials(load(text, {"ACME_KEY": "{\n}"}))[0][1] == {"service_account": "{\n}"}


def test_a_credential_without_any_secret_is_refused(refuse):
    """It could never work."""
    (problem,) = refuse('{name: main, api_key: "${ACME_KEY}", weight: 2}', "{name: main}")
    assert (problem.path, "has no secret" in problem.message) == (
        "providers.acme.credentials[0]",
        True,
    )


def test_an_absent_credential_is_checked_all_the_same(refuse):
    """A slip shows before the variable is set for the first time."""
    problems = refuse("{name: spare, api_key:", "{name: spare, weight: 0, apikey:")
    assert {problem.path.rpartition(".")[2] for problem in problems} == {"weight", "apikey"}
    assert 'did you mean "api_key"' in str(problems[0])
