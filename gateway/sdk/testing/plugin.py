"""The kit as a pytest plugin: `pytest --gateway-adapter NAME` adds its checks to the session.

Without the option it adds two lines to `pytest --help`, and imports nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from gateway.sdk.testing.suite import Check


def pytest_addoption(parser: pytest.Parser) -> None:
    """The kit's options."""
    group = parser.getgroup("isthmus-gateway")
    group.addoption(
        "--gateway-adapter",
        action="append",
        metavar="NAME",
        help="Hold the installed adapter NAME to the gateway's contract; repeatable.",
    )
    group.addoption(
        "--gateway-samples",
        metavar="DIR",
        help="Samples of its wire, as JSON files. Default: tests/samples, where there is one.",
    )


class Rule(pytest.Item):
    """One check of one adapter."""

    def __init__(
        self, *, check: Check | None = None, broken: Exception | None = None, **more: Any
    ) -> None:
        super().__init__(**more)
        self._check = check
        self._broken = broken

    def runtest(self) -> None:
        """Ask it."""
        from gateway.sdk.testing.subject import Unfit

        if self._broken is not None:
            raise self._broken
        assert self._check is not None
        try:
            self._check.ask()
        except Unfit as unfit:
            pytest.skip(str(unfit))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The rule in words: the kit's own stack helps nobody."""
        from gateway.sdk.testing.subject import Broken

        if isinstance(excinfo.value, Broken):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Where it stands in a report."""
        return self.path, None, self.name


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(
    session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Put the kit's checks in front of whatever else was collected."""
    wanted: list[str] = config.getoption("--gateway-adapter") or []
    found = [rule for name in dict.fromkeys(wanted) for rule in _rules(session, config, name)]
    items[:0] = found


def _rules(session: pytest.Session, config: pytest.Config, name: str) -> list[pytest.Item]:
    from gateway.sdk.testing.subject import Broken, load
    from gateway.sdk.testing.suite import checks

    def rule(title: str, **more: Any) -> pytest.Item:
        made: pytest.Item = Rule.from_parent(session, name=f"{name}: {title}", **more)
        return made

    try:
        subject = load(name, _samples(config))
    except Broken as broken:
        return [rule("loads", broken=broken)]
    return [rule(check.name, check=check) for check in checks(subject)]


def _samples(config: pytest.Config) -> Path | None:
    given = config.getoption("--gateway-samples")
    if given and not Path(given).is_dir():
        raise pytest.UsageError(f"--gateway-samples: there is no folder {given}")
    if given:
        return Path(given)
    usual = config.rootpath / "tests" / "samples"
    return usual if usual.is_dir() else None
