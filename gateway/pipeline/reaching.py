"""How a route of the catalog is reached: what its adapter is told, and over which channels."""

from __future__ import annotations

from gateway.domain import ANONYMOUS, Channel, Provider, Route


def options_of(route: Route) -> dict[str, str]:
    """What an adapter is told of a route: its provider's options under its own."""
    return {**_longest(route), **route.provider.options, **route.options}


def _longest(route: Route) -> dict[str, str]:
    """What a wire says that wants to be told the longest answer: what money is set aside for."""
    return {} if route.longest is None else {"max_output": str(route.longest)}


def channels_of(provider: Provider) -> dict[str, Channel]:
    """How each of its credentials reaches a provider."""
    return {
        credential.name: Channel(
            provider=provider.name,
            credential=credential.name,
            timeouts=provider.timeouts,
            max_connections=provider.max_connections,
            ca_file=provider.ca_file,
        )
        for credential in (*provider.credentials, ANONYMOUS)
    }
