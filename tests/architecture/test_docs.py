"""The pages of docs/ hang together."""

from __future__ import annotations

import re
from pathlib import Path

from gateway.errors import TABLE

ROOT = Path(__file__).parents[2]
PAGES = {path.resolve(): path.read_text() for path in (ROOT / "docs").rglob("*.md")}
_LINK = re.compile(r"\]\(([^)#\s]+)?(?:#([^)\s]+))?\)")


def links(page: Path) -> list[tuple[Path, str]]:
    """The files and headings that a page leads to."""
    found = _LINK.findall(PAGES[page])
    return [
        ((page.parent / name).resolve() if name else page, heading)
        for name, heading in found
        if not name.startswith(("http:", "https:"))
    ]


def headings(page: Path) -> set[str]:
    """A page's headings, as links name them."""
    lines = re.findall(r"(?m)^#+ (.+)$", PAGES[page])
    return {re.sub(r"[^\w\- ]", "", line).lower().replace(" ", "-") for line in lines}


def test_links_lead_somewhere() -> None:
    """To a file that is there, and to a heading that it has."""
    for page in PAGES:
        for path, heading in links(page):
            assert path.exists(), (page.name, path)
            assert not heading or heading in headings(path), (page.name, path.name, heading)


def test_every_page_can_be_found() -> None:
    """From where a reader of the code begins."""
    seen: set[Path] = set()
    ahead = [ROOT / "docs" / "architecture.md"]
    while ahead:
        page = ahead.pop()
        if page in PAGES and page not in seen:
            seen.add(page)
            ahead += [path for path, _ in links(page)]
    assert {page.name for page in PAGES.keys() - seen} == set()


def test_every_code_stands_in_the_readme() -> None:
    """Clients match on codes: each is told with its status, but for that of a client that left."""
    rows = re.findall(r"(?m)^\| ([\d, ]+) \| ([^|]+) \|", (ROOT / "README.md").read_text())
    told = {code for _, codes in rows for code in re.findall(r"`(\w+)`", codes)}
    assert told == set(TABLE) - {"client_closed"}
    for statuses, codes in rows:
        meant = {TABLE[code].status for code in re.findall(r"`(\w+)`", codes)}
        assert meant == {int(status) for status in statuses.split(",")}, codes
