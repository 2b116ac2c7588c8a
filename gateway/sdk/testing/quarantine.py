"""A place in which an adapter's functions can do nothing but compute, and not for ever."""

from __future__ import annotations

import builtins
import io
import logging
import os
import random
import secrets
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, ModuleType
from typing import Any, TypeVar

from gateway.sdk.testing.subject import Broken, Subject

T = TypeVar("T")

_CLOCKS = (
    "time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns",
)  # fmt: skip
_DICE = ("random", "randint", "randrange", "choice", "choices", "uniform", "getrandbits", "shuffle")
_FORBIDDEN: tuple[tuple[ModuleType, tuple[str, ...], int], ...] = (
    (time, ("sleep", *_CLOCKS), 1),
    (random, _DICE, 1),
    (secrets, ("token_bytes", "token_hex", "token_urlsafe", "randbelow"), 1),
    (os, ("urandom", "getenv", "system"), 1),
    (os, ("open",), 2),
    (builtins, ("open", "print", "input"), 2),
    (io, ("open",), 2),
    (socket, ("socket", "create_connection", "getaddrinfo", "gethostbyname"), 2),
    (subprocess, ("Popen", "run"), 2),
    (threading, ("Thread",), 1),
)
_STEPS = 200_000
_STEPS_A_BYTE = 40
_MOST_STEPS = 4_000_000


class Endless(BaseException):
    """More steps than any honest work on so little takes. Not to be caught by the adapter."""


class _Caught(BaseException):
    """A forbidden thing was tried. Not to be caught by the adapter."""


class _NoEnvironment:
    """Stands in for the environment."""

    def __init__(self, note: Callable[[], Any]) -> None:
        self._note = note

    def __getattr__(self, name: str) -> Any:
        return self._note()

    def __getitem__(self, name: str) -> Any:
        return self._note()

    def __contains__(self, name: object) -> bool:
        return bool(self._note())


def examined(subject: Subject, what: str, work: Callable[[], T], size: int = 0) -> T:
    """Run a function of the adapter's where it can reach nothing. Its own errors come through."""
    tried: list[tuple[str, int]] = []
    most = min(_STEPS + size * _STEPS_A_BYTE, _MOST_STEPS)
    try:
        with _closed_off(subject, tried), _counted(most):
            return work()
    except _Caught:
        pass
    except Endless:
        raise Broken(
            4,
            f"{what} does not come to an end in {most} steps.",
            "bound every loop by the bytes it was given, and see that each turn takes some.",
        ) from None
    finally:
        if tried:
            name, rule = tried[0]
            raise Broken(
                rule,
                f"{what} uses {name}.",
                "compute from the arguments alone: `call.now` is the time, ids can be a hash of "
                "the body, and the gateway does all I/O.",
            )
    raise AssertionError  # what was caught has been told above


_known: dict[tuple[tuple[ModuleType, int], ...], list[tuple[Any, str]]] = {}


def _taken(subject: Subject, forbidden: frozenset[int]) -> list[tuple[Any, str]]:
    """Where the adapter's modules have something forbidden by a name of their own. They are looked
    through once for each state they are in: the kit closes an adapter off thousands of times.
    """
    modules = subject.modules()
    state = tuple((module, len(vars(module))) for module in modules)
    found = _known.get(state)
    if found is None:
        found = _known[state] = [
            (module, name)
            for module in modules
            for name, value in list(vars(module).items())
            if id(value) in forbidden
        ]
    return found


@contextmanager
def _closed_off(subject: Subject, tried: list[tuple[str, int]]) -> Iterator[None]:
    """Replace what is forbidden, also where a module of the adapter's took it by name."""
    put_back: list[tuple[Any, str, Any]] = []
    replaced: dict[int, Any] = {}

    def forbid(owner: Any, name: str, stand_in: Any) -> None:
        original = getattr(owner, name)
        replaced[id(original)] = stand_in
        put_back.append((owner, name, original))

    def noting(shown: str, rule: int) -> Callable[..., Any]:
        def note(*_: Any, **__: Any) -> Any:
            tried.append((shown, rule))
            raise _Caught

        return note

    for module, names, rule in _FORBIDDEN:
        for name in names:
            forbid(module, name, noting(f"{module.__name__}.{name}", rule))
    forbid(logging.Logger, "handle", noting("logging", 1))
    forbid(os, "environ", _NoEnvironment(noting("os.environ", 1)))
    for module, name in _taken(subject, frozenset(replaced)):
        value = getattr(module, name)
        if id(value) in replaced:
            put_back.append((module, name, value))
    for owner, name, original in put_back:
        setattr(owner, name, replaced[id(original)])
    try:
        yield
    finally:
        for owner, name, original in put_back:
            setattr(owner, name, original)


@contextmanager
def _counted(most: int) -> Iterator[None]:
    """Count steps, not seconds: a slow machine is no fault of the adapter's."""
    left = most

    def step(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise Endless
        return step

    before = sys.gettrace()
    sys.settrace(step)
    try:
        yield
    finally:
        sys.settrace(before)
