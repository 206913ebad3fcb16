"""Which tools and tasks are in force, and where is each of their rules written?

Law: a catalogue is whole or is not. Its digests say what the manifests mean, however
they are laid out; its sources are the texts themselves, enough to load it again.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from sandbox_runtime.destinations import json_text
from sandbox_runtime.strict import Json, Strict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox_runtime.manifests.model import Task, Tool
    from sandbox_runtime.manifests.problems import Where
    from sandbox_runtime.manifests.source import Document


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A place in a manifest. `str()` is `file:line`, as an editor opens it."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A manifest that holds by itself, and the text it came from."""

    file: str
    digest: str
    """`sha256:…` of the canonical JSON of what it means; comments and order of keys aside."""
    document: Document = field(repr=False, compare=False)

    def place(self, path: Where) -> Place:
        """Return where `path` is written, or the nearest part above it that is."""
        position = self.document.key_at(path)
        return Place(file=self.file, line=position.line, column=position.column)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedTool(Loaded):
    """A tool's manifest, its digest and its places."""

    manifest: Tool

    @property
    def name(self) -> str:
        """The name that grants and calls use."""
        return self.manifest.metadata.name


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedTask(Loaded):
    """A task's manifest, its digest and its places."""

    manifest: Task

    @property
    def name(self) -> str:
        """The name that openers use."""
        return self.manifest.metadata.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """All manifests of one tree, checked against each other."""

    tools: Mapping[str, LoadedTool]
    tasks: Mapping[str, LoadedTask]
    sources: Mapping[str, str]
    """The texts by file. `load_texts(sources)` gives an equal catalogue."""
    digest: str
    """`sha256:…` over the digests of all tools and tasks."""

    @classmethod
    def of(
        cls,
        tools: Mapping[str, LoadedTool],
        tasks: Mapping[str, LoadedTask],
        sources: Mapping[str, str],
    ) -> Catalogue:
        """Return the catalogue of these, in the order of their names."""
        named: dict[str, Json] = {
            "tools": {name: tool.digest for name, tool in tools.items()},
            "tasks": {name: task.digest for name, task in tasks.items()},
        }
        return cls(
            tools=MappingProxyType(dict(sorted(tools.items()))),
            tasks=MappingProxyType(dict(sorted(tasks.items()))),
            sources=MappingProxyType(dict(sorted(sources.items()))),
            digest=digest_of(named),
        )


def digest_of(value: Json | Strict) -> str:
    """Return `sha256:…` of a manifest's or a JSON value's canonical JSON."""
    plain = value.model_dump(mode="json", by_alias=True) if isinstance(value, Strict) else value
    return f"sha256:{hashlib.sha256(json_text.canonical(plain)).hexdigest()}"
