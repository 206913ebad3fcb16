"""What `make stop` and `make purge` take away, and what they leave alone."""

from __future__ import annotations

import io
import json
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import docker
import pytest

from provision import archive
from provision.base import INPUTS
from provision.commands import Commands
from provision.daemon import Daemon
from provision.debian import Packages
from provision.engine import Engine
from provision.engine_api import EngineApi
from provision.places import Places
from provision.undo import CONTAINER, Undo


@dataclass(frozen=True, kw_only=True)
class Machine:
    """A checkout and an engine, both to be thrown away."""

    undo: Undo
    api: EngineApi
    places: Places
    out: io.StringIO


@pytest.fixture
def machine(tmp_path: Path, daemon: Daemon) -> Machine:
    places = Places(checkout=tmp_path / "checkout", machine=tmp_path / "machine")
    places.build.mkdir(parents=True)
    places.venv.mkdir()
    api = EngineApi(socket=daemon.socket)
    commands = Commands(tmp_path / "log", lambda _: None)
    packages = Packages(commands=commands, record=places.machine / "packages.json")
    engine = Engine(api=api, daemon=daemon, packages=packages, commands=commands)
    out = io.StringIO()
    return Machine(
        undo=Undo(places=places, engine=engine, out=out), api=api, places=places, out=out
    )


def load(machine: Machine, tag: str, labels: dict[str, str]) -> None:
    """Give the engine an image of one empty layer."""
    room = machine.places.build
    layer, image = room / "layer.tar", room / "image.tar"
    layer.write_bytes(b"\0" * 10240)
    config = archive.configuration(
        layer=layer, machine="x86_64", user="10000", labels=labels, epoch=0
    )
    archive.write(image, config=config, layer=layer, tag=tag)
    machine.api.load(image)


def create(machine: Machine, image: str, labels: dict[str, str]) -> str:
    with closing(docker.DockerClient(base_url=f"unix://{machine.api.socket}")) as engine:
        made = engine.containers.create(image, ["x"], labels=labels, network_mode="none")
        return str(made.id)


def test_stopping_removes_our_containers_and_no_others_and_ends_our_engine(
    machine: Machine, daemon: Daemon
) -> None:
    load(machine, "ours:1", {INPUTS: "x"})
    create(machine, "ours:1", {f"{CONTAINER}": "broker-1"})
    other = create(machine, "ours:1", {"somebody.else": "1"})
    machine.undo.stop()
    assert daemon.running() is None
    daemon.start()
    assert machine.api.containers("somebody.else") == [other]
    assert machine.api.containers(CONTAINER) == []
    machine.api.remove_container(other)


def test_purging_removes_our_images_and_files_and_leaves_other_images(
    machine: Machine, daemon: Daemon
) -> None:
    load(machine, "ours:1", {INPUTS: "x"})
    load(machine, "theirs:1", {"somebody.else": "1"})
    machine.undo.purge()
    assert not machine.places.venv.exists()
    assert not machine.places.build.exists()
    daemon.start()
    assert machine.api.images(INPUTS) == []
    assert len(machine.api.images("somebody.else")) == 1
    machine.api.remove_image("theirs:1")


def test_packages_we_brought_are_named_and_stay_unless_their_removal_was_asked_for(
    machine: Machine,
) -> None:
    machine.places.machine.mkdir()
    record = machine.places.machine / "packages.json"
    record.write_text(json.dumps({"installed": ["docker.io", "runc"]}))
    machine.undo.packages(remove=False)
    assert "apt-get purge docker.io runc" in machine.out.getvalue()
    assert record.exists()
