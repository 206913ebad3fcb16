"""The whole product, as a user runs it. Where the engine does not answer, these tests fail."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import docker
import pytest

from sandbox_runtime.sandbox.images import ToolSource, build
from tests.support.command import (
    COMMAND,
    NOTES,
    PROGRAM,
    TASK,
    TOOL,
    WRITER,
    WRITING,
    Running,
    Start,
    configured,
)
from tests.support.rooms import BASE
from tests.support.serving import write_tree

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def manifests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Yield a tree with two tools, built, and a task for each."""
    tree = write_tree(
        tmp_path_factory.mktemp("e2e") / "manifests",
        {
            "probe/tool.yaml": TOOL,
            "probe/main.py": PROGRAM,
            "note/tool.yaml": WRITER,
            "note/main.py": WRITING,
            "tasks/probing.yaml": TASK,
            "tasks/noting.yaml": NOTES,
        },
    )
    argv = ("/usr/bin/python3", "/tool/main.py")
    tools = [ToolSource(name=f"{n}-e2e", folder=tree / n, argv=argv) for n in ("probe", "note")]
    build(tools, BASE, tree / "images.lock.json", lambda _: None)
    yield tree
    engine = docker.DockerClient.from_env()
    for tool in tools:
        for image in engine.images.list(filters={"label": f"sandbox-broker.tool={tool.name}"}):
            engine.images.remove(str(image.id), force=True)
    engine.close()


@pytest.fixture
def start(tmp_path: Path, manifests: Path) -> Start:
    """Return what starts a broker on this test's state; it is killed when its block ends."""

    @asynccontextmanager
    async def started(tree: Path | None = None, **changes: object) -> AsyncIterator[Running]:
        file = configured(tmp_path, tree or manifests, **changes)
        process = await asyncio.create_subprocess_exec(
            *(COMMAND, "serve", "--config", str(file)),
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            assert process.stdout is not None
            async with asyncio.timeout(60):
                said = (await process.stdout.readline()).decode()
            state = tmp_path / "state"
            yield Running(
                process=process,
                state=state,
                socket=said.removeprefix("ready on ").strip(),
                id=(state / "id").read_text().strip(),
            )
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()

    return started
