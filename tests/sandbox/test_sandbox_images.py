"""Tools become images on the real engine, and only those that the lock names are run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from sandbox_runtime.sandbox import context, lock
from sandbox_runtime.sandbox.context import Item, ToolNotBuildable
from sandbox_runtime.sandbox.images import ToolSource, build, locked, verify
from sandbox_runtime.sandbox.lock import LockBroken
from sandbox_runtime.sandbox.packages import Interpreter, fetch
from tests.support.rooms import Room

ARGV = ("/usr/bin/python3", "/tool/main.py")
PYTHON = Interpreter(version="3.11", glibc=(2, 36), machine="x86_64", site="/x")


@pytest.fixture
def tool(tmp_path: Path) -> Iterator[ToolSource]:
    folder = tmp_path / "shout"
    folder.mkdir()
    (folder / "main.py").write_text(
        "import json, os, voice\n"
        "call = json.loads(input())\n"
        "os.write(3, json.dumps({'result': voice.loud(call['arguments'])}).encode())\n"
    )
    (folder / "voice.py").write_text("def loud(text):\n    return text.upper()\n")
    (folder / "tool.yaml").write_text("kind: Tool\n")
    (folder / ".secret").write_text("token")
    yield ToolSource(name="shout-test", folder=folder, argv=ARGV)
    client = docker.DockerClient.from_env()
    for image in client.images.list(filters={"label": "sandbox-broker.tool=shout-test"}):
        client.images.remove(str(image.id), force=True)
    client.close()


async def test_a_folder_becomes_an_image_that_answers(
    tool: ToolSource, tmp_path: Path, base_image: str, room: Room
) -> None:
    made = build([tool], base_image, tmp_path / "images.lock", lambda _: None)
    assert locked(tmp_path / "images.lock") == {tool.name: made.tools[tool.name].image}
    room.image = made.tools[tool.name].image
    plan = room.plan("").model_copy(update={"program": ARGV})
    done = await room.carry_out(plan, arguments="hello")
    assert done.answer is not None
    assert done.answer.value == {"result": "HELLO"}


def test_only_changed_inputs_are_built_again(
    tool: ToolSource, tmp_path: Path, base_image: str
) -> None:
    path, said = tmp_path / "images.lock", list[str]()
    first = build([tool], base_image, path, said.append)
    text = path.read_bytes()
    (tool.folder / "tool.yaml").write_text("kind: Tool # of no matter\n")
    assert build([tool], base_image, path, said.append) == first
    assert path.read_bytes() == text
    assert said[-1] == "shout-test: up to date"
    (tool.folder / "voice.py").write_text("def loud(text):\n    return text + '!'\n")
    second = build([tool], base_image, path, said.append)
    assert second.tools[tool.name].image != first.tools[tool.name].image


def test_an_image_that_the_lock_does_not_name_is_refused(
    tool: ToolSource, tmp_path: Path, base_image: str
) -> None:
    made = build([tool], base_image, tmp_path / "images.lock", lambda _: None)
    entry = made.tools[tool.name]
    for wrong in (
        entry.model_copy(update={"image": "sha256:" + "0" * 64}),
        entry.model_copy(update={"image": base_image}),
        entry.model_copy(update={"inputs": "0" * 64}),
    ):
        with pytest.raises(LockBroken, match="shout-test"):
            verify(made.model_copy(update={"tools": {tool.name: wrong}}))


def test_a_build_has_no_network(tool: ToolSource, tmp_path: Path, base_image: str) -> None:
    code = "import socket; socket.create_connection(('1.1.1.1', 53), 3)"
    (tool.folder / "Dockerfile").write_text(
        f'ARG BASE\nFROM ${{BASE}}\nRUN ["/usr/bin/python3", "-c", "{code}"]\n'
    )
    with pytest.raises(ToolNotBuildable, match="shout-test"):
        build([tool], base_image, tmp_path / "images.lock", lambda _: None)


def test_an_image_with_a_volume_is_refused(
    tool: ToolSource, tmp_path: Path, base_image: str
) -> None:
    (tool.folder / "Dockerfile").write_text("ARG BASE\nFROM ${BASE}\nVOLUME /shared\n")
    with pytest.raises(ToolNotBuildable, match="VOLUME"):
        build([tool], base_image, tmp_path / "images.lock", lambda _: None)


def test_a_base_that_is_not_there_is_said(tool: ToolSource, tmp_path: Path) -> None:
    with pytest.raises(ToolNotBuildable, match="no image `nothing:here`"):
        build([tool], "nothing:here", tmp_path / "images.lock", lambda _: None)


def test_what_is_hidden_or_a_manifest_is_not_taken_in(tool: ToolSource) -> None:
    assert set(context.collect(tool.folder)) == {"main.py", "voice.py"}


def test_a_link_out_of_the_folder_is_refused(tool: ToolSource) -> None:
    (tool.folder / "passwd").symlink_to("/etc/passwd")
    with pytest.raises(ToolNotBuildable, match="not an ordinary file"):
        context.collect(tool.folder)


def test_equal_inputs_are_equal_bytes_wherever_and_whenever_they_lie(tmp_path: Path) -> None:
    files = {"b": Item(content=b"2"), "a": Item(content=b"1", executable=True)}
    packed = [
        context.pack(dict(order), tmp_path, {}).getvalue()
        for order in (files.items(), reversed(files.items()))
    ]
    assert packed[0] == packed[1]


@pytest.mark.parametrize(
    "other",
    [
        {"a": Item(content=b"12")},
        {"a": Item(content=b"1"), "b": Item(content=b"")},
        {"a": Item(content=b"1", executable=True)},
        {"a1": Item(content=b"")},
    ],
)
def test_other_inputs_have_another_digest(other: dict[str, Item]) -> None:
    assert context.digest({"a": Item(content=b"1")}) != context.digest(other)


@pytest.mark.parametrize("text", ["six\n", "six==1.17.0\n", "./local\n"])
def test_a_package_without_a_hash_is_refused(tmp_path: Path, text: str) -> None:
    requirements = tmp_path / "requirements.txt"
    requirements.write_text(text)
    with pytest.raises(ToolNotBuildable, match=r"requirements\.txt"):
        fetch(requirements, PYTHON, tmp_path / "into")


def test_platforms_are_those_of_the_base_from_the_newest() -> None:
    platforms = list(PYTHON.platforms())
    assert platforms[0] == "manylinux_2_36_x86_64"
    assert "manylinux_2_17_x86_64" in platforms
    assert "manylinux_2_37_x86_64" not in platforms


@pytest.mark.parametrize("text", ["", "{}", '{"version": 2}', "not JSON"])
def test_a_broken_lock_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "images.lock"
    path.write_text(text)
    with pytest.raises(LockBroken):
        lock.read(path)


def test_no_lock_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(LockBroken, match="sandbox-broker tool build"):
        lock.read(tmp_path / "images.lock")
