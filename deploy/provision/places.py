"""Where does the set-up keep things?

Law: everything inside the checkout is under `.venv` and `build`; everything outside it is
under `machine`, and only root writes there.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Places:
    """The files and directories that set-up reads and writes."""

    checkout: Path
    machine: Path = Path("/var/lib/sandbox-broker-setup")
    """What outlives the checkout: the engine's configuration, and what we installed.

    Not the broker's own state directory, which nobody else may enter."""

    @property
    def build(self) -> Path:
        """Made here, and made again whenever it is missing."""
        return self.checkout / "build"

    @property
    def venv(self) -> Path:
        """The environment of the broker and of its tests."""
        return self.checkout / ".venv"

    @property
    def protos_venv(self) -> Path:
        """The environment of the stub generator, whose protobuf is older than the broker's."""
        return self.build / "protos-env"

    @property
    def editor(self) -> Path:
        """The language server that editors use for YAML, and the Node.js that runs it."""
        return self.build / "editor"

    @property
    def node_venv(self) -> Path:
        """The environment that holds Node.js where the machine has none."""
        return self.build / "node-env"

    @property
    def broker(self) -> Path:
        """The command of the product."""
        return self.venv / "bin" / "sandbox-broker"

    @property
    def base_record(self) -> Path:
        """What the base image is and what it holds."""
        return self.build / "base.json"

    @property
    def log(self) -> Path:
        """The full output of every command that set-up ran."""
        return self.build / "setup.log"

    def lock(self, name: str) -> Path:
        """The hash-pinned requirements called `name`."""
        return self.checkout / "deploy" / "lock" / f"{name}.txt"
