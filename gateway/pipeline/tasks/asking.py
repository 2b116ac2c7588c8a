"""One step of a task at its provider: asked with what is written down of it, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec
from msgspec import Struct, structs

from gateway.core.body import JsonBody
from gateway.core.task import Task
from gateway.domain import ANONYMOUS, Channel, Credential, Provider, UpstreamRequest
from gateway.errors import NO_UPSTREAM, Fault, upstream_error
from gateway.pipeline.masking import cleared, refused
from gateway.pipeline.mishaps import sound_progress, sound_request
from gateway.pipeline.reaching import options_of
from gateway.pipeline.services import Services
from gateway.pipeline.tasks.pace import Pace
from gateway.ports import UpstreamReply
from gateway.sdk import Adapter, Call, Job, Operation, Progress
from gateway.sdk.dialects import serving

MAX_ANSWER = 64 << 20
_MAX_ERROR = 1 << 20

Write = Callable[[Call, Progress, Credential], UpstreamRequest]


class Lost(Exception):  # noqa: N818 - an answer, and no error of ours
    """The provider does not know the work any more."""


class Place(Struct, frozen=True):
    """Who is asked for a task, as the catalog has it now."""

    provider: Provider
    adapter: Adapter
    operation: Operation
    job: Job
    call: Call
    credential: Credential
    channel: Channel


async def place_of(services: Services, task: Task, pace: Pace) -> Place:
    """Who is asked: the provider that began it, under the credential that began it."""
    provider, own = _found(services, task)
    adapter = services.adapters.get(provider.adapter)
    credential = next((one for one in provider.credentials if one.name == task.credential), None)
    if task.credential == ANONYMOUS.name:
        credential = ANONYMOUS
    options: Mapping[str, str] = {**provider.options, **own}
    serves = None
    if adapter is not None:
        serves = serving(adapter, task.operation, task.upstream, options)
    if adapter is None or credential is None or serves is None or serves.job is None:
        raise _nobody(task)
    now = services.clock.time()
    if adapter.login is not None:
        credential = await services.logins.secrets(adapter, provider, credential, now)
    call = Call(
        operation=task.operation,
        upstream=task.upstream,
        base_url=provider.base_url,
        body=JsonBody(task.body),
        region=task.region,
        options=options,
        now=now,
        id=task.id,
    )
    channel = Channel(
        provider.name, credential.name, pace.asking, provider.max_connections, provider.ca_file
    )
    return Place(provider, adapter, serves, serves.job, call, credential, channel)


def _found(services: Services, task: Task) -> tuple[Provider, Mapping[str, str]]:
    """The provider, and what the task's route adds to its options, if it is still there."""
    catalog = services.catalog.current
    for route in catalog.by_name.get(task.route, ()):
        if route.provider.name == task.provider:
            return route.provider, options_of(route)
    provider = catalog.providers.get(task.provider)
    if provider is None:
        raise _nobody(task)
    return provider, {}


def _nobody(task: Task) -> Fault:
    return Fault(
        NO_UPSTREAM,
        f"The provider '{task.provider}', which has this work, or the credential that it was given "
        "with, is not in the gateway's catalog any more.",
        cause="task_provider_gone",
    )


async def asked(services: Services, task: Task, progress: Progress, pace: Pace) -> Progress:
    """How far it has come. `Lost` where its provider knows nothing of it; else a Fault."""
    place = await place_of(services, task, pace)
    reply = await send(services, place, place.job.poll, progress)
    try:
        if reply.status in (404, 410):
            raise Lost
        if not 200 <= reply.status < 300:
            adapter, credential = place.provider.adapter, place.credential
            raise await refused(reply, place.operation, adapter, credential, services.mishaps)
        body = await reply.read(MAX_ANSWER)
    finally:
        reply.close()
    status, headers = reply.status, reply.headers
    told = guarded(
        services, place, lambda: place.job.polled(place.call, progress, status, headers, body)
    )
    if told.state != "failed":
        return told
    secrets = place.credential
    return structs.replace(
        told, code=cleared(told.code, secrets), message=cleared(told.message, secrets)
    )


async def can_be_stopped(services: Services, task: Task, pace: Pace) -> bool:
    """Whether its provider can be told not to go on; of one that is not there any more, nobody can
    say that it does.
    """
    try:
        return (await place_of(services, task, pace)).job.cancel is not None
    except Fault:
        return True


async def told_to_stop(services: Services, task: Task, progress: Progress, pace: Pace) -> None:
    """Ask the provider to give it up, where it can be asked; a Fault where that fails."""
    place = await place_of(services, task, pace)
    if place.job.cancel is None:
        return
    reply = await send(services, place, place.job.cancel, progress)
    try:
        await reply.read(_MAX_ERROR)
    finally:
        reply.close()


async def send(services: Services, place: Place, write: Write, progress: Progress) -> UpstreamReply:
    """Send what the adapter writes for this step."""
    return await services.upstream.send(written(services, place, write, progress), place.channel)


def written(services: Services, place: Place, write: Write, progress: Progress) -> UpstreamRequest:
    """The adapter's request for this step."""
    return services.mishaps.guarded(
        place.provider.adapter,
        lambda: sound_request(write(place.call, progress, place.credential)),
    )


def guarded(services: Services, place: Place, read: Callable[[], object]) -> Progress:
    """What the adapter reads out of an answer, once it is what it should be."""
    return services.mishaps.guarded(place.provider.adapter, lambda: sound_progress(read()))


def kept(progress: Progress) -> bytes:
    """As it is written down: what it brought goes to a file of its own."""
    return msgspec.json.encode(structs.replace(progress, media=b""))


def read_back(written_down: bytes | None) -> Progress | None:
    """What was written down."""
    if written_down is None:
        return None
    return msgspec.json.decode(written_down, type=Progress)


def bad_file(what: str) -> Fault:
    """A provider's file that is none."""
    return upstream_error(f"The provider's file could not be had: {what}.", "task_media")
