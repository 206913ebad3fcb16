"""Keys: nobody else reads them, none is made twice, and a destroyed one is gone."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from sandbox_runtime.evidence.faults import Erased, KeysRefused
from sandbox_runtime.evidence.keys import Keys

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "keys"


def test_keys_are_files_of_the_owner_alone(directory: Path) -> None:
    Keys.begin(directory).create("task-1")
    modes = {path.name: path.stat().st_mode & 0o777 for path in (directory, *directory.rglob("*"))}
    assert modes == {"keys": 0o700, "tasks": 0o700, "master": 0o600, "task-1": 0o600}


def test_the_same_key_comes_back_after_a_restart_and_each_task_has_its_own(
    directory: Path,
) -> None:
    keys = Keys.begin(directory)
    for task in ("one", "two"):
        keys.create(task)
    again = Keys.begin(directory)
    assert again.data_key("one") == keys.data_key("one")
    assert len({again.data_key(task).derive(use) for task in ("one", "two") for use in "ab"}) == 4


def test_no_key_stands_unwrapped_in_any_file_or_text(directory: Path) -> None:
    keys = Keys.begin(directory)
    keys.create("task")
    secret = keys.data_key("task").secret
    assert all(secret not in path.read_bytes() for path in directory.rglob("*") if path.is_file())
    assert secret.hex() not in repr(keys.data_key("task"))
    assert repr(secret) not in repr(keys.data_key("task"))


@pytest.mark.parametrize("name", [".", "tasks/../master", "master"])
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o755])
def test_a_key_or_directory_open_to_others_is_refused(
    directory: Path, name: str, mode: int
) -> None:
    Keys.begin(directory)
    (directory / name).chmod(mode)
    with pytest.raises(KeysRefused, match="open to others"):
        Keys.open(directory)


def test_a_task_key_open_to_others_is_refused(directory: Path) -> None:
    keys = Keys.begin(directory)
    keys.create("task")
    (directory / "tasks" / "task").chmod(0o644)
    with pytest.raises(KeysRefused, match="open to others"):
        keys.data_key("task")


def test_a_key_of_another_user_is_refused(directory: Path) -> None:
    Keys.begin(directory)
    os.chown(directory / "master", 65534, 65534)
    with pytest.raises(KeysRefused, match="not ours"):
        Keys.open(directory)


def test_a_key_behind_a_symbolic_link_is_refused(directory: Path, tmp_path: Path) -> None:
    Keys.begin(directory)
    (directory / "master").rename(tmp_path / "elsewhere")
    (directory / "master").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(KeysRefused):
        Keys.open(directory)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../master", "a/b", "A", "a" * 65, "task\n", "\0", "tâche"]
)
def test_what_is_no_task_id_reaches_no_path(directory: Path, name: str) -> None:
    keys = Keys.begin(directory)
    for use in (keys.create, keys.has, keys.data_key, keys.destroy):
        with pytest.raises(ValueError, match="no task id"):
            use(name)


def test_a_task_gets_a_key_once_and_none_after_it_was_erased(directory: Path) -> None:
    keys = Keys.begin(directory)
    keys.create("task")
    with pytest.raises(KeysRefused, match="already"):
        keys.create("task")
    keys.destroy("task")
    with pytest.raises(KeysRefused, match="already"):
        keys.create("task")
    assert keys.has("task")


def test_a_destroyed_key_is_erased_for_everyone_at_once_and_twice_is_fine(
    directory: Path,
) -> None:
    keys, other = Keys.begin(directory), Keys.open(directory)
    keys.create("task")
    before = (directory / "tasks" / "task").read_bytes()
    keys.destroy("task")
    keys.destroy("task")
    for holder in (keys, other, Keys.open(directory)):
        with pytest.raises(Erased):
            holder.data_key("task")
    assert (directory / "tasks" / "task").read_bytes() == bytes(len(before))


def test_an_unknown_task_is_not_an_erased_one(directory: Path) -> None:
    keys = Keys.begin(directory)
    assert not keys.has("nobody")
    for use in (keys.data_key, keys.destroy):
        with pytest.raises(KeysRefused):
            use("nobody")


def test_one_tasks_key_under_another_tasks_name_is_refused(directory: Path) -> None:
    keys = Keys.begin(directory)
    for task in ("one", "two"):
        keys.create(task)
    (directory / "tasks" / "one").replace(directory / "tasks" / "two")
    with pytest.raises(KeysRefused, match="not under this master"):
        keys.data_key("two")


def test_a_lost_master_is_never_replaced_by_a_new_one(directory: Path) -> None:
    Keys.begin(directory).create("task")
    (directory / "master").unlink()
    with pytest.raises(KeysRefused):
        Keys.begin(directory)


def test_a_crash_while_the_keys_were_begun_is_mended_by_beginning_again(directory: Path) -> None:
    (directory / "tasks").mkdir(parents=True, mode=0o700)
    directory.chmod(0o700)
    (directory / ".unfinished").write_bytes(b"half")
    Keys.begin(directory).create("task")
