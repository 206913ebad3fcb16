"""`doctor` on this machine, with the real engine, beside a running broker."""

from __future__ import annotations

import fcntl
import json
from typing import TYPE_CHECKING

import docker

from sandbox_runtime.cli.doctor import asking
from sandbox_runtime.cli.doctor.machine import is_held, kernel
from sandbox_runtime.cli.tool import ENGINE
from sandbox_runtime.sandbox import lock
from sandbox_runtime.sandbox.plan import LABEL
from sandbox_runtime.sandbox.walls import expected
from tests.support.commands import Place, document, run

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    import pytest

    from sandbox_runtime.sandbox.plan import ContainerPlan
    from sandbox_runtime.sandbox.walls import Walls


def by_subject(said: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {one["about"]: one for one in said["findings"]}


def changed(place: Place, into: Path, **settings: object) -> Path:
    """Write other settings beside those of the broker that runs."""
    file = into / "broker.yaml"
    file.write_text(json.dumps({**json.loads(place.config.read_text()), **settings}))
    return file


def test_a_machine_that_serves_is_found_fit_beside_its_broker(place: Place) -> None:
    code, said = document("doctor", "--config", place.config)
    found = by_subject(said)
    wrong = [one for one in said["findings"] if one["level"] == "wrong"]
    assert (code, wrong) == (0, [])
    assert found["broker"]["says"] == "one is running on this state"
    assert "its walls were read back" in found["proof"]["says"]
    assert len(said["facts"]["proof"]["walls"]) == 64
    assert found["validators"]["level"] == "ok"
    assert found["workspaces"]["level"] == "ok"


def test_it_leaves_no_container_behind(place: Place) -> None:
    run("doctor", "--config", place.config)
    engine = docker.DockerClient.from_env()
    try:
        assert engine.containers.list(all=True, filters={"label": f"{LABEL}=doctor"}) == []
    finally:
        engine.close()


async def test_a_wall_that_does_not_stand_is_no_proof(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = lock.read(place.manifests / "images.lock.json").tools["small"].image

    def more(plan: ContainerPlan) -> Walls:
        return expected(plan).model_copy(update={"pids": plan.ceilings.pids + 1})

    monkeypatch.setattr("sandbox_runtime.sandbox.container.expected", more)
    proof = await asking.proven(ENGINE, [image])
    assert (proof.image, proof.walls) == (image, None)
    assert "pids" in (proof.trouble or "")


async def test_the_first_image_that_is_there_is_tried(place: Place) -> None:
    image = lock.read(place.manifests / "images.lock.json").tools["small"].image
    proof = await asking.proven(ENGINE, [f"sha256:{'0' * 64}", image])
    assert (proof.image, proof.outcome, proof.trouble) == (image, "OK", None)


def test_people_read_a_line_a_finding_and_what_would_mend_it(place: Place, tmp_path: Path) -> None:
    config = changed(place, tmp_path, engine=str(tmp_path / "none.sock"))
    ended = run("doctor", "--config", config)
    assert (ended.returncode, ended.stderr) == (1, "")
    lines = ended.stdout.splitlines()
    assert lines[0].startswith("wrong    engine  ")
    assert lines[1].strip().startswith("mend: start it (`docker info`)")
    assert any(line.startswith("ok       powers  ") for line in lines)
    assert lines[-1].endswith(" wrong")


def test_what_is_wrong_with_a_broker_s_own_things_is_found_all_at_once(
    place: Place, tmp_path: Path
) -> None:
    (tmp_path / "state").mkdir(mode=0o755)
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "t").mkdir()
    (tmp_path / "tree" / "t" / "tool.yaml").write_text("kind: Tool\n")
    config = changed(
        place,
        tmp_path,
        state_dir=str(tmp_path / "state"),
        manifests=str(tmp_path / "tree"),
        validators={"count": 1, "first_uid": 65534},
    )
    code, said = document("doctor", "--config", config)
    found = {name: one["level"] for name, one in by_subject(said).items()}
    assert code == 1
    assert [found[name] for name in ("state", "manifests", "validator uids")] == ["wrong"] * 3
    assert "nobody" in by_subject(said)["validator uids"]["says"]
    assert found["proof"] == "ok"  # the base image will do


def test_settings_with_a_mistake_end_it_as_they_end_serving(place: Place, tmp_path: Path) -> None:
    config = changed(place, tmp_path, drian="5s")
    ended = run("doctor", "--config", config)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "unknown key `drian`" in ended.stderr


def test_a_lock_is_seen_without_touching_it(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with lock.open("w") as file:
        assert not is_held(lock)
        fcntl.flock(file, fcntl.LOCK_EX)
        assert is_held(lock)
    assert not is_held(lock)
    assert not is_held(tmp_path / "none")


def test_controllers_of_either_cgroup_version_are_found(tmp_path: Path) -> None:
    for folder in ("proc/self", "proc/sys/kernel/seccomp", "sys/fs/cgroup"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "proc/self/status").write_text("CapEff:\t000001ffffffffff\n")
    table = tmp_path / "proc/self/mountinfo"
    table.write_text("31 23 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n")
    (tmp_path / "sys/fs/cgroup/cgroup.controllers").write_text("cpuset cpu io memory pids\n")
    assert {"cpu", "memory", "pids"} <= set(kernel(tmp_path).controllers)
    table.write_text(
        "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n"
        "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
    )
    assert set(kernel(tmp_path).controllers) == {"cpu", "memory"}
