"""Which settings are in force, and where does each come from?

Law: every setting is named, also those that nobody set. What the broker makes of one that
is left out stands in its place. Pure.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox_runtime.manifests.problems import Where
    from sandbox_runtime.server.loading import Given
    from sandbox_runtime.server.settings import Settings
    from sandbox_runtime.strict import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """One setting in force."""

    name: str
    """`listen.socket`, `peers[0].uid`."""
    value: Json
    source: str
    """`file:line`, a variable's name, or `default`."""


def origins(given: Given) -> list[Origin]:
    """Return every setting that follows from what was given. Raises `ManifestErrors`."""
    return [
        Origin(name=_name(where), value=value, source=given.source(where))
        for where, value in _leaves((), _in_force(given.settings()))
    ]


def _in_force(settings: Settings) -> Json:
    written: dict[str, Json] = settings.model_dump(mode="json")
    peers: list[Json] = [peer.model_dump(mode="json") for peer in settings.peers_in_force()]
    calls: dict[str, Json] = {
        **settings.calls.model_dump(mode="json"),
        **asdict(settings.calls.limits()),
    }
    return {**written, "images_lock": str(settings.lock), "peers": peers, "calls": calls}


def _leaves(where: Where, value: Json) -> Iterator[tuple[Where, Json]]:
    parts = _parts(value)
    if not parts:
        yield where, value
    for key, part in parts:
        yield from _leaves((*where, key), part)


def _parts(value: Json) -> list[tuple[str | int, Json]]:
    match value:
        case dict():
            return list(value.items())
        case list():
            return list(enumerate(value))
        case _:
            return []


def _name(where: Where) -> str:
    parts = (f"[{key}]" if isinstance(key, int) else f".{key}" for key in where)
    return "".join(parts).removeprefix(".")
