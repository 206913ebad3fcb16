"""In which image does a tool of a task run?

Law: a task runs the images that were in force with its manifests, also after later ones came
into force. A task that outlived a restart gets today's image of a tool only if that was made for
the very manifest that the task holds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from sandbox_runtime.errors import SandboxUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox_runtime.manifests.catalogue import LoadedTool


class Images(Protocol):
    """Says which image is a tool's."""

    def of(self, tool: LoadedTool) -> str:
        """Return the image's id; raise `SandboxUnavailable` where there is none."""
        ...


@dataclass(frozen=True, slots=True)
class Locked:
    """The images of one lock, whatever manifest they were built for: for trying a tool."""

    by_name: Mapping[str, str]

    def of(self, tool: LoadedTool) -> str:
        """Return the image that the lock names."""
        if tool.name not in self.by_name:
            raise SandboxUnavailable(f"the lock names no image for `{tool.name}`")
        return self.by_name[tool.name]


@dataclass(slots=True)
class Kept:
    """The images of every tree of manifests that this broker brought into force."""

    _latest: dict[tuple[str, str], str] = field(default_factory=dict)
    """By name and digest of the manifests in force."""
    _held: dict[int, tuple[LoadedTool, str]] = field(default_factory=dict)
    """By the tool as it was loaded: equal manifests of two loads may have two images."""

    def bring(self, tools: Mapping[str, LoadedTool], locked: Mapping[str, str]) -> None:
        """Bring the images of these tools into force; raise `SandboxUnavailable` if one lacks."""
        images = {name: Locked(locked).of(tool) for name, tool in tools.items()}
        self._latest = {(name, tool.digest): images[name] for name, tool in tools.items()}
        self._held |= {id(tool): (tool, images[name]) for name, tool in tools.items()}

    def of(self, tool: LoadedTool) -> str:
        """Return the image that came into force with this tool."""
        if (held := self._held.get(id(tool))) is not None:
            return held[1]
        if (image := self._latest.get((tool.name, tool.digest))) is not None:
            return image
        raise SandboxUnavailable(f"the image of `{tool.name}` is of another manifest of it")
