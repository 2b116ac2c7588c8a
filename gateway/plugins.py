"""Provider adapters by entry point: found by name, checked before they are trusted.

Two packages that offer the same name are refused: a shadowing adapter would be handed the
operator's API keys. An adapter that does not load takes only its own routes with it; each is
imported in a thread of its own, so that one that takes its time keeps nobody waiting for long.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import EntryPoint
from typing import Any

from stevedore.named import NamedExtensionManager

from gateway.catalog.problems import near_miss
from gateway.sdk import CONTRACT, PASSTHROUGH, Adapter, Job, Operation, clean

GROUP = "gateway.providers"
_NOT_INSTALLED = "not installed"
LIMIT = 5.0  # seconds that an import may take before its adapter counts as failed


class PluginConflict(Exception):  # noqa: N818 - it names a state of the installation
    """Two installed packages offer an adapter of the same name."""


def installed() -> Sequence[EntryPoint]:
    """Every adapter on offer, as stevedore finds them; nothing is loaded."""
    manager: NamedExtensionManager[Any] = NamedExtensionManager(
        GROUP, [], invoke_on_load=False, on_missing_entrypoints_callback=None
    )
    return list(manager.list_entry_points())


class Plugins:
    """The adapters in use, and why others are not."""

    def __init__(self, discover: Callable[[], Sequence[EntryPoint]] = installed) -> None:
        self._discover = discover
        self.adapters: dict[str, Adapter] = {}
        self.failures: dict[str, str] = {}
        self.reasons: dict[str, str] = {}  # what the failed ones said; for the operator alone
        self.loading: dict[str, threading.Thread] = {}
        self.limit = LIMIT
        self._threads: dict[str, threading.Thread] = {}
        self._lock = threading.Lock()
        # Told of every adapter that has come or failed, in a thread of any kind.
        self.on_end: Callable[[str], object] = str

    def load(self, names: Iterable[str], wait: float | None = None) -> None:
        """Load the adapters a catalog names, once each. A conflict refuses the catalog whole.

        Waits as long as an import may take, or for `wait` seconds: the rest then come by
        themselves, and are `loading` until they do.
        """
        busy = {name for name, thread in self._threads.items() if thread.is_alive()}
        wanted = sorted(set(names) - self.adapters.keys() - busy)
        if not wanted:
            return
        offered = self._discover()
        for name in wanted:
            refuse_conflict(name, offered)
        for name in wanted:
            entry = next((entry for entry in offered if entry.name == name), None)
            if entry is None:
                self.failures[name] = _NOT_INSTALLED
            else:
                self._begin(name, entry)
        self._wait(wanted, self.limit if wait is None else min(wait, self.limit))

    def _begin(self, name: str, entry: EntryPoint) -> None:
        def import_it() -> None:
            self._load_one(name, entry)
            self.on_end(name)

        thread = threading.Thread(target=import_it, name=f"import of {name}", daemon=True)
        self._threads[name] = self.loading[name] = thread
        thread.start()

    def _wait(self, names: Iterable[str], seconds: float) -> None:
        """Wait for imports that have begun; what is not there in time goes on by itself."""
        until = time.monotonic() + seconds
        for name in names:
            thread = self.loading.get(name)
            if thread is not None:
                thread.join(max(0.0, until - time.monotonic()))
        left = self.limit - seconds
        for name in [name for name in names if name in self.loading]:
            if left <= 0:
                self._give_up(name)
                continue
            timer = threading.Timer(left, self._give_up, (name,))
            timer.daemon = True
            timer.start()

    def _give_up(self, name: str) -> None:
        """The time of an import is over. Should it end after all, its adapter is welcome."""
        with self._lock:
            if self.loading.pop(name, None) is None:
                return
            self.failures[name] = f"did not load within {self.limit:g} seconds"
        self.on_end(name)

    def in_words(self, name: str) -> str:
        """Why an adapter is not in use, to follow its name in a sentence."""
        if self.failures[name] == _NOT_INSTALLED:
            guess = near_miss(name, (entry.name for entry in self._discover()))
            hint = f" ({guess.removeprefix('; ')})" if guess else ""
            return f"is not installed: no installed package offers it{hint}"
        reason = self.reasons.get(name)
        return self.failures[name] + (f" ({reason})" if reason else "")

    def _load_one(self, name: str, entry: EntryPoint) -> None:
        problem: str | None
        reason = ""
        try:
            loaded = entry.load()
            problem = contract_problem(loaded)
        except BaseException as error:  # sys.exit() on import must not end the gateway
            problem = f"did not load: {type(error).__name__}"
            reason = clean(str(error))
        with self._lock:
            self.loading.pop(name, None)
            self.failures.pop(name, None)
            self.reasons.pop(name, None)
            if problem is None:
                self.adapters[name] = loaded
                return
            self.failures[name] = problem
            if reason:
                self.reasons[name] = reason


def refuse_conflict(name: str, offered: Sequence[EntryPoint]) -> None:
    """Raise when two different objects claim one name."""
    values = sorted({entry.value for entry in offered if entry.name == name})
    if len(values) > 1:
        raise PluginConflict(
            f"The adapter '{name}' is offered by {len(values)} packages ({', '.join(values)}). "
            "Uninstall all but the one you trust with this provider's credentials."
        )


def contract_problem(loaded: object) -> str | None:
    """What keeps an object from being an adapter of this contract; None when nothing does."""
    if not isinstance(loaded, Adapter):
        return f"is a {type(loaded).__name__}, not a gateway.sdk.Adapter"
    if loaded.contract != CONTRACT:
        return f"speaks contract {loaded.contract}; this gateway speaks {CONTRACT}"
    if not loaded.operations and loaded.wire is None:
        return "declares no operations"
    probe: object = loaded.probe
    if probe is not None and not callable(probe):
        return "has a 'probe' that cannot be called"
    declared: Mapping[str, object] = loaded.operations
    for name, operation in declared.items():
        if not isinstance(operation, Operation):
            return f"has an operation '{name}' that is not a gateway.sdk.Operation"
        for part in ("build", "parse", "stream", "usage", "fault_in", "fault"):
            given = getattr(operation, part)
            if given is not PASSTHROUGH and not callable(given):
                return f"has an operation '{name}' whose '{part}' cannot be called"
        for part in ("expects", "media", "session"):
            given = getattr(operation, part)
            if given is not None and not callable(given):
                return f"has an operation '{name}' whose '{part}' cannot be called"
        job: object = operation.job
        if job is not None and not isinstance(job, Job):
            return f"has an operation '{name}' whose 'job' is not a gateway.sdk.Job"
    return None
