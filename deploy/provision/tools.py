"""Are the tools' images built from what their manifests say?

Law: the product builds them, not the set-up; it knows what is up to date.
"""

from __future__ import annotations

from dataclasses import dataclass

from provision.base import Base
from provision.commands import Commands
from provision.places import Places
from provision.steps import Intent


@dataclass(frozen=True, kw_only=True, slots=True)
class ToolImages:
    """The step that ends with an image for each tool."""

    places: Places
    base: Base
    commands: Commands
    name: str = "tool images"

    def intent(self) -> Intent:
        """Leave it to the product to find out what has changed."""
        return Intent(words="build those that changed, write their lock")

    def act(self) -> str:
        """Build what changed; return the last thing the builder said."""
        said = self.commands.run(
            [self.places.broker, "tool", "build", "--base", self.base.id()],
            mend="correct the tool that it names, then run this again",
        )
        return said.strip().rpartition("\n")[2].strip()
