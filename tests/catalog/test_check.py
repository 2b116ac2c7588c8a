"""Every problem at once, each at its own line; and every relation between the parts."""

import pytest

EVERYTHING_WRONG = """\
version: 2
surfaces:
  v1: {style: openai}
  "/api": {style: opanai}
providers:
  acme:
    adapter: acme
    base_url: ftp://api.acme.example
    max_conections: 5
    timeouts: {connect: -1, idle: 1.5, total: "60"}
models:
  big:
    nmae: Big
    vendor: Acme
    kind: chatt
    context: no
    capabilities: [streaming, toools]
    sunset: 2026-02-31
    routes:
      big: {provider: acmee, upstream: big-1, price: {input_per_mtok: 5.00, output_per_mtok: "-1"}}
      also: {provider: acme, upstream: x}
  small:
    name: Small
    vendor: Acme
    kind: image
    routes:
      also: {provider: acme, upstream: y, price: {input_per_mtok: "1"}}
auto:
  auto-x: {choose: best, among: {models: [bigg]}}
groups:
  free: {rpm: 20, routes: [bigg, big]}
anonymous: {group: fre, rpm: 10, per: day}
extra: 1
"""


def test_every_problem_is_found_at_once_with_its_line(refuse):
    """One run of the editor mends them all."""
    found = {(p.line, p.path) for p in refuse(EVERYTHING_WRONG)}
    assert found == {
        (1, "version"),
        (3, "surfaces.v1"),
        (4, "surfaces./api"),
        (4, "surfaces./api.style"),
        (8, "providers.acme.base_url"),
        (9, "providers.acme.max_conections"),
        (10, "providers.acme.timeouts.connect"),
        (10, "providers.acme.timeouts.total"),
        (12, "models.big.name"),
        (13, "models.big.nmae"),
        (15, "models.big.kind"),
        (16, "models.big.context"),
        (17, "models.big.capabilities[1]"),
        (18, "models.big.sunset"),
        (20, "models.big.routes.big.provider"),
        (20, "models.big.routes.big.price.input_per_mtok"),
        (20, "models.big.routes.big.price.output_per_mtok"),
        (21, "models.big.routes.also.price"),
        (27, "models.small.routes.also"),
        (27, "models.small.routes.also.price"),
        (29, "auto.auto-x.among.models[0]"),
        (31, "groups.free.tpm"),
        (31, "groups.free.routes[0]"),
        (32, "anonymous.group"),
        (32, "anonymous.per"),
        (33, "extra"),
    }


def test_a_problem_reads_as_file_line_path_and_advice(refuse):
    """The form that editors and terminals make clickable."""
    text = [str(problem) for problem in refuse(EVERYTHING_WRONG)]
    key = "providers.acme.max_conections"
    assert f'catalog.yaml:9: {key}: unknown key; did you mean "max_connections"?' in text
    key = "models.big.routes.big.provider"
    assert f'catalog.yaml:20: {key}: there is no provider acmee; did you mean "acme"?' in text
    price = next(t for t in text if "input_per_mtok" in t and ":20:" in t)
    assert 'price.input_per_mtok: must be a quoted decimal such as "2.50"' in price


BIG = "models.big.routes.big.price"
SIM = "models.big.routes.sim-big.price"
SIM_PRICE = '{input_per_mtok: "5", output_per_mtok: "20"}'
TIER = 'output_per_mtok: "2", above_tokens: '
AMONG = "auto.auto-free.among"
FREE = "{free: true}}\ngroups"


@pytest.mark.parametrize(
    ("old", "new", "path", "says"),
    [
        # names
        ("      echo: {provider", "      big: {provider", "models.echo.routes.big", "already"),
        (
            "      sim-big: {",
            "      echo: {",
            "models.big.routes.echo",
            "already that of the model echo",
        ),
        ("[acme/big]", "[echo]", "models.big.aliases[0]", "already"),
        ("[acme/big]", "[a, a]", "models.big.aliases[1]", "already that of an alias of big"),
        ("auto-free:", "sim-big:", "auto.sim-big", "already that of a route of big"),
        ("name: spare", "name: main", "providers.acme.credentials", "same name"),
        ("  echo:\n", "  'ec ho':\n", "models.ec ho", "must be a name"),
        # references
        ("group: free", "group: fred", "anonymous.group", 'did you mean "free"'),
        ("tier: fast", "successor: bgi", "models.echo.successor", "no model or route"),
        ('routes: "*"', "routes: [sim-bgi]", "groups.paid.routes[0]", 'did you mean "sim-big"'),
        ('routes: "*"', 'routes: "+"', "groups.paid.routes", "must be"),
        (FREE, "{models: [zzz]}}\ngroups", AMONG + ".models[0]", "no model"),
        (FREE, "{}}\ngroups", AMONG, "must say"),
        (FREE, "{tier: [balanced]}}\ngroups", AMONG, "matches no chat route"),
        # addresses
        ("https://api.acme.example", "file:///etc/passwd", "providers.acme.base_url", "http://"),
        ("https://api.acme.example", "https://", "providers.acme.base_url", "no host"),
        ("https://api.acme.example", "https://u:p@h", "providers.acme.base_url", "no login"),
        ("https://api.acme.example", "https://h/?k=1", "providers.acme.base_url", "query"),
        ("https://api.acme.example", "https://h:99999", "providers.acme.base_url", "not a URL"),
        ("https://api.acme.example", '"https://[::1"', "providers.acme.base_url", "not a URL"),
        # webhooks
        (
            "groups:\n",
            "webhooks: {hosts: ['https://a.example'], secret: 0123456789abcdef}\ngroups:\n",
            "webhooks.hosts",
            "without https://",
        ),
        # surfaces
        ('"/v1": ', '"v1": ', "surfaces.v1", "starts with /"),
        ('"/v1": ', '"/v1/": ', "surfaces./v1/", "does not end with /"),
        ('"/v1": ', '"/": ', "surfaces./", "starts with /"),
        ('"/v1": ', '"/v1//x": ', "surfaces./v1//x", "starts with /"),
        ('"/v1": ', '"/../x": ', "surfaces./../x", "starts with /"),
        ('"/v1": ', '"/admin": ', "surfaces./admin", "overlaps /admin"),
        ('"/v1": ', '"/admin/v1": ', "surfaces./admin/v1", "overlaps /admin"),
        ('"/v1": ', '"/api": ', "surfaces./api", "overlaps /api/status"),
        ('"/v1": ', '"/metrics": ', "surfaces./metrics", "overlaps /metrics"),
        (
            '"/v1": ',
            '"/api/gateway/chat": ',
            "surfaces./api/gateway/chat",
            "operation of the surface",
        ),
        # prices
        ('output_per_mtok: "25.00"', 'per_image: "1"', BIG, "a chat route needs"),
        (', output_per_mtok: "25.00"', ', unpriced: true, output_per_mtok: "1"', BIG, "both"),
        (SIM_PRICE, "{unpriced: false}", SIM + ".unpriced", "must be true"),
        (SIM_PRICE, "{}", SIM, "needs"),
        (SIM_PRICE, "unlisted", SIM, "mapping"),
        (
            'output_per_mtok: "20"',
            TIER + '{200k: {input_per_mtok: "1"}}',
            SIM + ".above_tokens.200k",
            "number of tokens",
        ),
        (
            'output_per_mtok: "20"',
            TIER + '{9: {per_image: "1"}}',
            SIM + ".above_tokens.9.per_image",
            "no base price",
        ),
        ('output_per_mtok: "20"', TIER + "{9: {}}", SIM + ".above_tokens.9", "changes no price"),
        # forms
        ("tier: frontier", "tier: top", "models.big.tier", "frontier or balanced or fast"),
        ("weight: 2", "weight: 0", "providers.acme.credentials[0].weight", "1 to 1000"),
        ("aliases: [acme/big]", "aliases: acme/big", "models.big.aliases", "must be a list"),
        ("name: Big", "name: 5", "models.big.name", "some text"),
    ],
)
def test_a_broken_relation_is_refused(refuse, old, new, path, says):
    """One change to a good file, one problem, the path of the change."""
    problems = refuse(old, new)
    assert path in [problem.path for problem in problems], problems
    assert says in next(problem.message for problem in problems if problem.path == path)


def test_what_the_good_file_means(load):
    """The small catalog, compiled."""
    catalog = load(environ={"ACME_KEY": "k"})
    assert catalog.surfaces == {
        "/v1": "openai",
        "/api/gateway": "error_type",
        "/api/gateway/v1": "error_type",
    }
    big, sim_big = catalog.by_model["big"]
    assert catalog.candidates("big") == (big,)
    assert catalog.candidates("sim-big") == (sim_big,)
    assert catalog.candidates("acme/big") == (big, sim_big)
    assert catalog.candidates("Big") == catalog.candidates("auto-free") == ()
    assert (big.context, big.name, big.model.aliases) == (1_000_000, "Big", ("acme/big",))
    assert big.provider is catalog.providers["acme"]
    assert [route.slug for route in catalog.auto["auto-free"].routes] == ["echo"]
    assert catalog.groups["free"].allows("echo")
    assert not catalog.groups["free"].allows("big")
    assert catalog.groups["paid"].allows("big")
    assert catalog.anonymous
    assert catalog.anonymous.group is catalog.groups["free"]


def test_a_canonical_id_that_is_no_slug_means_all_its_routes(load, good):
    """In the order of the file."""
    text = good.replace("      big:\n        {provider", "      acme-big:\n        {provider")
    assert [route.slug for route in load(text).candidates("big")] == ["acme-big", "sim-big"]


def test_a_group_may_list_models_routes_and_auto_models(load, good):
    """A model stands for its routes."""
    text = good.replace('routes: "*"', "routes: [acme/big, auto-free]")
    group = load(text).groups["paid"]
    assert [group.allows(n) for n in ("big", "sim-big", "auto-free", "echo")] == [
        True,
        True,
        True,
        False,
    ]


def test_a_digest_is_of_the_prices_and_not_of_their_spelling(load, good):
    """Receipts quote it: the same prices must have the same one."""
    one = load(good).routes["sim-big"].price
    two = load(good.replace('"20"', '"20.00"')).routes["sim-big"].price
    other = load(good.replace('"20"', '"20.01"')).routes["sim-big"].price
    assert one.digest == two.digest != other.digest
    assert len(one.digest) == 64


def test_a_tier_may_make_a_free_route_paid(load, good):
    """Free means free at every length."""
    tiers = 'output_per_mtok: "0.00", above_tokens: {100: {input_per_mtok: "1"}}'
    text = good.replace('output_per_mtok: "0.00"', tiers).replace(
        "{free: true}}\ngroups", "{free: false}}\ngroups"
    )
    price = load(text).routes["echo"].price
    assert not price.free
    assert [str(price.at(n)["input_per_mtok"]) for n in (100, 101)] == ["0", "1"]


def test_revision_is_of_the_text(load, good):
    """Twelve hex digits that change with any byte."""
    assert load(good).revision == load(good).revision != load(good + "\n").revision
    assert len(load(good).revision) == 12


def test_optional_parts_have_defaults(load):
    """The least that is a catalog."""
    catalog = load("version: 1\nproviders: {}\nmodels: {}\n")
    assert (catalog.surfaces, catalog.anonymous) == ({"/v1": "openai"}, None)
