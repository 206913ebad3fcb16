"""Other manifests while the broker runs: SIGHUP to a broker that listens."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sandbox_runtime.audit.verifying import verify
from sandbox_runtime.client import CallRefused, Outcome
from sandbox_runtime.errors import Reason
from sandbox_runtime.ledger import text_digest
from sandbox_runtime.manifests.loader import load_texts
from sandbox_runtime.records import ManifestsLoaded, ManifestsRefused, TaskOpened
from sandbox_runtime.sandbox.lock import LockBroken
from tests.support.eventually import eventually
from tests.support.manifests import SOURCES, TASK
from tests.support.pipeline import on_stage
from tests.support.serving import Stage, served

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sandbox_runtime.manifests.catalogue import LoadedTask
    from sandbox_runtime.records import Allotment
    from tests.support.serving import Served

ADA, EVE = {"name": "Ada"}, {"name": "Eve"}
FRIENDS = "name: {exact: $friend}"
VARIABLES = """\
  variables:
    friend: {type: string, regex: "[A-Z][a-z]+"}
"""
NO_FRIEND = TASK.replace(FRIENDS, "name: {exact: Eve}").replace(VARIABLES, "")
ONE_MORE = TASK.replace("name: greeting,", "name: farewell,")


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.fixture
async def here(tmp_path: Path, stage: Stage) -> AsyncIterator[Served]:
    async with served(tmp_path, stage) as broker:
        yield broker


def write(here: Served, text: str, name: str = "tasks/greeting.yaml") -> None:
    Path(here.settings.manifests, name).write_text(text)


def hang_up() -> None:
    os.kill(os.getpid(), signal.SIGHUP)


async def reloaded(here: Served, count: int) -> None:
    """Ask for a reload; return once `count` attempts of all kinds are recorded."""
    hang_up()
    await eventually(lambda: attempts(here) == count)


def attempts(here: Served) -> int:
    return sum(kind in {"manifest.loaded", "manifest.refused"} for kind in here.kinds())


async def test_new_tasks_get_new_manifests_and_open_ones_keep_theirs(here: Served) -> None:
    async with here.client() as client:
        before = await client.open_task("greeting", variables={"friend": "Ada"})
        write(here, NO_FRIEND)
        await reloaded(here, 2)
        after = await client.open_task("greeting")
        assert (await before.call("greet", ADA)).outcome is Outcome.OK
        assert (await after.call("greet", EVE)).outcome is Outcome.OK
        for task, name in ((before, EVE), (after, ADA)):
            with pytest.raises(CallRefused):
                await task.call("greet", name)
    loaded = [r for r in here.records() if isinstance(r, ManifestsLoaded)]
    opened = [r for r in here.records() if isinstance(r, TaskOpened)]
    assert [task.tree_digest for task in opened] == [tree.digest for tree in loaded]


async def test_a_tree_with_a_mistake_changes_nothing_and_says_where(
    here: Served, capfd: pytest.CaptureFixture[str]
) -> None:
    write(here, ONE_MORE, "tasks/farewell.yaml")
    write(here, TASK.replace("max_calls: 1\n", "max_cals: 1\n"))
    await reloaded(here, 2)
    (refused,) = [r for r in here.records() if isinstance(r, ManifestsRefused)]
    assert (refused.broken, refused.problems) == ("manifests", 1)
    assert refused.digest.startswith("sha256:")
    async with here.client() as client:
        task = await client.open_task("greeting", variables={"friend": "Ada"})
        assert (await task.call("greet", ADA)).ok
        with pytest.raises(CallRefused) as caught:
            await client.open_task("farewell", variables={"friend": "Ada"})
    assert caught.value.reason is Reason.MANIFEST_NOT_FOUND
    told = "".join(capfd.readouterr())
    assert "manifests/tasks/greeting.yaml:19:7: unknown key `max_cals`" in told


async def test_a_name_that_is_no_text_is_a_mistake_and_not_the_last_reload(
    here: Served, capfd: pytest.CaptureFixture[str]
) -> None:
    nameless = Path(here.settings.manifests) / os.fsdecode(b"\xff")
    nameless.mkdir()
    (nameless / "tool.yaml").write_text("kind: Tool\n")
    await reloaded(here, 2)
    assert here.kinds()[-1] == "manifest.refused"
    (nameless / "tool.yaml").unlink()
    write(here, NO_FRIEND)
    await reloaded(here, 3)
    assert here.kinds()[-1] == "manifest.loaded"
    told = "".join(capfd.readouterr())
    assert "tool.yaml:1:1: its name is not UTF-8; rename it" in told


async def test_a_tree_whose_images_are_not_there_changes_nothing(
    here: Served, stage: Stage
) -> None:
    write(here, NO_FRIEND)
    stage.unready = LockBroken("there is no image")
    await reloaded(here, 2)
    (refused,) = [r for r in here.records() if isinstance(r, ManifestsRefused)]
    assert (refused.broken, refused.problems, len(stage.brought)) == ("machine", 1, 1)
    async with here.client() as client:
        task = await client.open_task("greeting", variables={"friend": "Ada"})
        assert (await task.call("greet", ADA)).ok
        stage.unready = None
        await reloaded(here, 3)
        assert len(stage.brought) == 2


async def test_new_images_of_the_same_manifests_come_into_force_and_are_recorded(
    here: Served, stage: Stage
) -> None:
    stage.image = "sha256:" + "1" * 64
    await reloaded(here, 2)
    first, second = [r for r in here.records() if isinstance(r, ManifestsLoaded)]
    assert first.digest == second.digest
    assert (first.images["greet"], second.images["greet"]) == ("sha256:" + "0" * 64, stage.image)
    assert stage.brought[1:] == [{"greet": stage.image}]


async def test_what_has_not_changed_is_not_recorded_again(
    here: Served, capfd: pytest.CaptureFixture[str]
) -> None:
    hang_up()
    await eventually(lambda: "manifests_unchanged" in "".join(capfd.readouterr()))
    assert attempts(here) == 1


async def test_reloading_under_load_loses_no_call(tmp_path: Path, here: Served) -> None:
    async def work() -> list[str]:
        async with here.client() as client:
            opened = [
                await client.open_task("greeting", variables={"friend": "Ada"}) for _ in range(15)
            ]
            ends = await asyncio.gather(*(task.call("greet", ADA) for task in opened))
            return [end.outcome for end in ends]

    working = [asyncio.create_task(work()) for _ in range(3)]
    for turn in range(6):
        write(here, TASK if turn % 2 else TASK + f"# turn {turn}\n")
        hang_up()
        await asyncio.sleep(0.05)
    assert {outcome for each in working for outcome in await each} == {Outcome.OK}
    await here.stop()
    assert here.kinds().count("manifest.loaded") >= 2
    assert verify(tmp_path / "state").problem is None


async def test_a_restart_stands_on_the_manifests_of_each_task(tmp_path: Path) -> None:
    async with served(tmp_path) as first, first.client() as client:
        before = await client.open_task("greeting", variables={"friend": "Ada"})
        write(first, NO_FRIEND)
        await reloaded(first, 2)
    async with served(tmp_path) as second, second.client() as client:
        assert "manifest.loaded" in second.kinds()
        again = client.task(before.id, before.token)
        assert (await again.call("greet", ADA)).ok


async def test_a_task_stands_on_one_tree_though_others_come_into_force_while_it_opens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with on_stage(tmp_path) as stage:
        there, go_on, make = asyncio.Event(), asyncio.Event(), stage.housing.make

        async def slowly(task: str, manifest: LoadedTask) -> Allotment | None:
            there.set()
            await go_on.wait()
            return await make(task, manifest)

        monkeypatch.setattr(stage.housing, "make", slowly)
        opening = asyncio.create_task(stage.open_task())
        await there.wait()
        other = load_texts({**SOURCES, "tasks/greeting.yaml": NO_FRIEND})
        await stage.ledger.load(other, {})
        stage.broker.use(other)
        go_on.set()
        live = await opening
        assert live.task.state.manifest_digest == live.task.manifest.digest
        assert live.task.state.tree_digest == text_digest(load_texts(SOURCES))
