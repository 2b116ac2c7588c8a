"""Provider adapters by entry point: found by name, checked before they are trusted.

Two packages that offer the same name are refused: a shadowing adapter would be handed the
operator's API keys. An adapter that does not load takes only its own routes with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import EntryPoint
from typing import Any

from stevedore.named import NamedExtensionManager

from gateway.sdk import CONTRACT, PASSTHROUGH, Adapter, Operation, clean

GROUP = "gateway.providers"
_NOT_INSTALLED = "not installed"


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

    def load(self, names: Iterable[str]) -> None:
        """Load the adapters a catalog names, once each. A conflict refuses the catalog whole."""
        wanted = sorted(set(names) - self.adapters.keys())
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
                self._load_one(name, entry)

    def in_words(self, name: str) -> str:
        """Why an adapter is not in use, to follow its name in a sentence."""
        if self.failures[name] == _NOT_INSTALLED:
            return "is not installed: no installed package offers it"
        reason = self.reasons.get(name)
        return self.failures[name] + (f" ({reason})" if reason else "")

    def _load_one(self, name: str, entry: EntryPoint) -> None:
        try:
            loaded = entry.load()
            problem = contract_problem(loaded)
        except (Exception, SystemExit) as error:  # sys.exit() on import must not end the gateway
            problem = f"did not load: {type(error).__name__}"
            self.reasons[name] = clean(str(error))
        if problem is not None:
            self.failures[name] = problem
            return
        self.failures.pop(name, None)
        self.reasons.pop(name, None)
        self.adapters[name] = loaded


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
    declared: Mapping[str, object] = loaded.operations
    for name, operation in declared.items():
        if not isinstance(operation, Operation):
            return f"has an operation '{name}' that is not a gateway.sdk.Operation"
        for part in ("build", "parse", "stream", "usage", "fault_in", "fault"):
            given = getattr(operation, part)
            if given is not PASSTHROUGH and not callable(given):
                return f"has an operation '{name}' whose '{part}' cannot be called"
    return None
