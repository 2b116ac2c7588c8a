"""What is examined: an adapter, what its package says for the kit, and samples of its wire.

A package may say, in the module of its adapter, all of it optional:

  KIT      {"base_url": ..., "upstream": ..., "region": ..., "options": {...}, "secrets": {...},
            "urls": [...], "changes": [...]}
  SAMPLES  a list of samples: the fields of `Sample`, as dicts
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
from msgspec import Struct, field

from gateway.core.body import JsonBody
from gateway.domain import Credential
from gateway.sdk.adapter import Adapter, Call

GROUP = "gateway.providers"
SECRET = "sk-kit-0123456789abcdefghijklmnopqrstuv"  # noqa: S105 - it opens nothing
# Where an adapter should be sent to, if it doesn't say otherwise.
BASE_URL = "https://kit.example/v1"
UPSTREAM = "kit-upstream-model"


class Broken(Exception):  # noqa: N818 - a verdict, in words for the adapter's author
    """A rule of docs/adapters.md that does not hold, and how to mend it."""

    def __init__(self, rule: int, what: str, mend: str) -> None:
        super().__init__(f"Rule {rule} of docs/adapters.md is broken: {what}\nTo mend it: {mend}")
        self.rule = rule


class Unfit(Exception):  # noqa: N818 - a check that has nothing to look at
    """Why a check could not be made."""


class Sample(Struct, frozen=True, forbid_unknown_fields=True):
    """Recorded bytes of the provider's. `operation` is one of the adapter's, or "wire".

    `stream` and `answer` are text; `stream_base64` and `answer_base64` are for binary wires. Before
    `end_mark` the stream is not complete; by default nothing is said of its last half.
    `dialogue` has the messages of a session in their order, each by who sends it. `input`, `output`
    and `text` are what must be read out of it, where they are given. Of a job, `state` is; with
    `before`, the job's `id` and `memo`, the answer is one to a question after it.
    """

    operation: str
    name: str = ""
    request: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    stream: str = ""
    stream_base64: bytes = b""
    answer: str = ""
    answer_base64: bytes = b""
    dialogue: list[dict[str, Any]] = field(default_factory=list)
    end_mark: str = ""
    input: int | None = None
    output: int | None = None
    text: str | None = None
    before: dict[str, str] | None = None
    status: int = 200
    state: str | None = None

    @property
    def streamed(self) -> bytes:
        """The stream's bytes; empty when this is no sample of a stream."""
        return self.stream_base64 or self.stream.encode()

    @property
    def whole(self) -> bytes:
        """The bytes of an answer that came whole."""
        return self.answer_base64 or self.answer.encode()


class Saying(Struct, frozen=True, forbid_unknown_fields=True):
    """What a package says of itself for the kit: its `KIT`."""

    base_url: str = BASE_URL
    upstream: str = UPSTREAM
    region: str | None = None
    options: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=lambda: {"api_key": SECRET})
    urls: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()


@lru_cache(maxsize=8)
def _below(module: ModuleType, loaded: int) -> tuple[str, ...]:
    """The names in a module's package; looked for anew once more is `loaded`, since it is long."""
    del loaded
    top = module.__name__.partition(".")[0]
    if top == "gateway":
        return ()
    return tuple(name for name in list(sys.modules) if name.partition(".")[0] == top)


class Subject(Struct, frozen=True):
    """An adapter under examination."""

    name: str
    adapter: Adapter
    module: ModuleType | None = None
    saying: Saying = Saying()
    samples: tuple[Sample, ...] = ()

    @property
    def credential(self) -> Credential:
        """A login with secrets that are easily found again."""
        return Credential("kit", dict(self.saying.secrets))

    def call(self, operation: str, body: bytes, *, stream: bool = False) -> Call:
        """A call with this body."""
        saying = self.saying
        return Call(
            operation=operation,
            upstream=saying.upstream,
            base_url=saying.base_url,
            body=JsonBody.parse(body),
            stream=stream,
            region=saying.region,
            options=saying.options,
            now=1_767_225_600.0,
        )

    def modules(self) -> list[ModuleType]:
        """The adapter's own modules: those of its package, and not the gateway's."""
        if self.module is None:
            return []
        return [sys.modules[name] for name in _below(self.module, len(sys.modules))]


def load(name: str, samples: Path | None = None) -> Subject:
    """The installed adapter of this name, and what its package says for the kit."""
    entries = [entry for entry in entry_points(group=GROUP) if entry.name == name]
    if not entries:
        raise Broken(
            11,
            f"no installed package offers an adapter '{name}'.",
            f"install yours (`pip install -e .`), with `{name} = module:ADAPTER` under "
            f"`{GROUP}` in its entry points.",
        )
    if len({entry.value for entry in entries}) > 1:
        raise Broken(
            11, f"several packages offer an adapter '{name}'.", "uninstall all of them but yours."
        )
    try:
        adapter = entries[0].load()
    except (Exception, SystemExit) as error:
        raise Broken(
            11,
            f"'{entries[0].value}' does not load: {type(error).__name__}: {error}",
            "see that the module imports and has this name in it.",
        ) from error
    return of(name, adapter, sys.modules.get(entries[0].module), samples)


def of(
    name: str, adapter: Adapter, module: ModuleType | None = None, samples: Path | None = None
) -> Subject:
    """An adapter to examine. `samples` is a folder of JSON files, each a sample or a list."""
    said = getattr(module, "KIT", {})
    given: list[object] = list(getattr(module, "SAMPLES", ()))
    for path in sorted(samples.glob("*.json")) if samples is not None else ():
        read = msgspec.json.decode(path.read_bytes())
        given += read if isinstance(read, list) else [read]
    try:
        return Subject(
            name=name,
            adapter=adapter,
            module=module,
            saying=said if isinstance(said, Saying) else msgspec.convert(said, Saying),
            samples=tuple(_sample(one) for one in given),
        )
    except (msgspec.ValidationError, TypeError) as error:
        raise Broken(
            11, f"KIT or SAMPLES can't be read: {error}", "see the kit's own section."
        ) from (error)


def _sample(given: object) -> Sample:
    return given if isinstance(given, Sample) else msgspec.convert(given, Sample)


def samples_of(subject: Subject, operation: str, kind: str) -> Sequence[Sample]:
    """The package's samples of an operation: of a `stream`, an `answer`, or one to a `poll`."""
    return [
        sample
        for sample in subject.samples
        if sample.operation == operation
        and (sample.streamed if kind == "stream" else sample.whole)
        and (sample.before is not None) == (kind == "poll")
    ]


def request_of(sample: Sample, plain: Mapping[str, bytes]) -> bytes:
    """The request that a sample answers; the plain one where it doesn't say."""
    if sample.request:
        return msgspec.json.encode(sample.request)
    return plain.get(sample.operation, plain["chat"])
