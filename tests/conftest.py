"""What the whole suite shares: the summary of recorded traffic."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import HealthCheck, settings

# A busy machine is no failure: nothing is judged by the clock.
settings.register_profile("any_pace", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any_pace")

# Modules beside the tests compare too; a comparison that fails shows both sides there as well.
pytest.register_assert_rewrite(
    "tests.adapters", "tests.cli", "tests.core", "tests.sdk_clients", "tests.upstream"
)

TABLE = pytest.StashKey[Counter[tuple[str, ...]]]()


# Files of few tests that take long: begun first, so that no core waits for another at the end.
LONG = ("torture/test_kill", "test_third_party", "store/test_machine", "pipeline/test_races")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long ones first, the rest in its order."""
    items.sort(key=lambda item: not any(name in item.nodeid for name in LONG))


def pytest_configure(config: pytest.Config) -> None:
    counts = config.stash[TABLE] = Counter()
    config.pluginmanager.register(Counting(counts))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):
    """Note of a recorded case its provider, test and operation."""
    report = yield
    if report.when == "call" and item.path.name.startswith("test_corpus"):
        case = item.callspec.params["case"]
        what = item.originalname.removeprefix("test_")
        report.recorded = [case.parts[-3], what, case.parts[-2], report.outcome]
    return report


class Counting:
    """Counts the recorded cases where the reports come together, whichever process ran them."""

    def __init__(self, counts: Counter[tuple[str, ...]]) -> None:
        self.counts = counts

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        recorded = getattr(report, "recorded", None)
        if recorded is not None:
            self.counts[tuple(recorded)] += 1


def pytest_terminal_summary(terminalreporter) -> None:
    """A line for each provider and operation whose recordings were read."""
    counts = terminalreporter.config.stash[TABLE]
    if not counts:
        return
    terminalreporter.section("recorded traffic")
    for provider, what, operation in sorted({key[:3] for key in counts}):
        passed = counts[provider, what, operation, "passed"]
        failed = counts[provider, what, operation, "failed"]
        note = f"  {failed} FAILED" if failed else ""
        terminalreporter.line(f"{provider:12}{what:9}{operation:20}{passed:4} passed{note}")
    total = sum(n for key, n in counts.items() if key[3] == "passed")
    terminalreporter.line(f"{total} checks of recorded cases passed")
