"""The conformance kit for adapters: `pytest --gateway-adapter NAME`, or `verdicts` from code.

Names are looked up when they are used: pytest imports this package wherever it is installed.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gateway.sdk.testing.subject import Broken, Sample, Subject, Unfit, load, of
    from gateway.sdk.testing.suite import Check, checks, verdicts

__all__ = ["Broken", "Check", "Sample", "Subject", "Unfit", "checks", "load", "of", "verdicts"]
_IN_SUITE = ("Check", "checks", "verdicts")


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(name)
    return getattr(import_module(f"{__name__}.{'suite' if name in _IN_SUITE else 'subject'}"), name)
