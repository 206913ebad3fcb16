"""How is everything undone?

Law: only what is ours is touched: brokers of this checkout, containers and images that
carry our labels, the engine that we started, packages that we installed. Whatever stays
is named.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from provision.base import INPUTS
from provision.daemon import Process, end, processes
from provision.engine import Engine
from provision.engine_api import EngineApi
from provision.mounts import unmount_below
from provision.places import Places

CONTAINER = "sandbox-broker.broker"
"""The label of every container of ours; images are known by what they were built from."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Undo:
    """Takes back what set-up and the broker did."""

    places: Places
    engine: Engine
    out: TextIO

    def stop(self) -> None:
        """End the broker, its containers, and the engine if we started it."""
        for broker in self._brokers():
            end(broker)
            self._say(f"stopped the broker with process id {broker.pid}")
        if self.engine.answering():
            self._say(f"removed {self._remove_containers()} containers")
        if self.engine.daemon.stop():
            self._say("stopped the engine that set-up had started")

    def purge(self) -> None:
        """Remove our images and files as well; what stays is said."""
        if self.engine.answering() or self.engine.installed():
            self.engine.act()
            self._say(f"removed {self._remove_images()} images")
        self.stop()
        for path in (self.places.venv, self.places.build):
            self._remove_folder(path)
        shutil.rmtree(self.engine.daemon.home, ignore_errors=True)
        if self.engine.daemon.data_root.exists():
            self._say(f"left: {self.engine.daemon.data_root}, what engines keep on this machine")

    def packages(self, *, remove: bool) -> None:
        """Remove the packages we installed, or say how to."""
        ours = self.engine.packages.ours()
        if ours and remove:
            self.engine.packages.remove_ours()
            self._say(f"removed the packages {' '.join(ours)}")
        elif ours:
            self._say(f"left installed; to remove: apt-get purge {' '.join(ours)}")

    def _remove_folder(self, path: Path) -> None:
        if stay := unmount_below(path):
            self._say(f"left {path}: something uses {', '.join(stay)}")
            return
        shutil.rmtree(path, ignore_errors=True)
        self._say(f"removed {path}")

    def _brokers(self) -> Iterator[Process]:
        command = str(self.places.broker)
        return (one for one in processes() if command in one.command and "serve" in one.command)

    def _remove_containers(self) -> int:
        api = self.engine.api
        found = api.containers(CONTAINER)
        for container in found:
            api.remove_container(container)
        return len(found)

    def _remove_images(self) -> int:
        self._remove_containers()
        found = self.engine.api.images(INPUTS)
        for image in found:
            _remove(self.engine.api, image)
        return len(found)

    def _say(self, line: str) -> None:
        self.out.write(f"  {line}\n")


def _remove(api: EngineApi, image: str) -> None:
    """Remove an image unless removing another one took it along."""
    if api.image(image):
        api.remove_image(image)
