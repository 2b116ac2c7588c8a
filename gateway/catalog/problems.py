"""What is wrong with a catalog file: every problem at once, each with its line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator

from msgspec import Struct

Path = tuple[str | int, ...]

# The report ends up in logs and in /api/status: past this it would help nobody.
MAX_PROBLEMS = 1000


class Problem(Struct, frozen=True, order=True):
    """One thing to mend, and where."""

    file: str
    line: int
    path: str
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}: "
        return f"{place}{self.path}: {self.message}" if self.path else place + self.message


class CatalogError(Exception):
    """A catalog that can't be served; its text is one problem per line."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(problems))
        super().__init__("\n".join(map(str, self.problems)))


class Lines:
    """Where each entry of the decoded document stood, found by walking a path from the root."""

    def __init__(self, root: object, lines: dict[int, dict[str | int, int]], first: int) -> None:
        self._root = root
        self._lines = lines
        self._first = first

    def of(self, path: Path) -> int:
        """The line of the entry, or of the nearest enclosing one that exists."""
        line, place = self._first, self._root
        for part in path:
            line_here = self._lines.get(id(place), {}).get(part)
            if line_here is None or not isinstance(place, dict | list):
                break
            line = line_here
            place = place[part]  # type: ignore[index]
        return line


class Report:
    """Collects problems; the first one at a path silences what merely follows from it."""

    def __init__(self, file: str, lines: Lines) -> None:
        self._file = file
        self._lines = lines
        self._found: dict[Path, Problem] = {}

    def add(self, path: Path, message: str) -> None:
        """Note a problem at a path, unless that path already has one."""
        if len(self._found) < MAX_PROBLEMS and path not in self._found:
            self._found[path] = Problem(self._file, self._lines.of(path), dotted(path), message)

    def has(self, path: Path) -> bool:
        """Whether this very path already has a problem."""
        return path in self._found

    def raise_if_any(self) -> None:
        """Refuse the catalog when anything was found."""
        if self._found:
            raise CatalogError(self._found.values())

    def __iter__(self) -> Iterator[Problem]:
        return iter(self._found.values())


def dotted(path: Path) -> str:
    """A path as operators read it: `models.gpt-4o.routes`, `credentials[0]`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text


def near_miss(word: str, known: Iterable[str]) -> str:
    """`; did you mean "x"?` when something known is close enough, else nothing."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.7)
    return f'; did you mean "{close[0]}"?' if close else ""
