"""A container with one wall missing never gets a call's bytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sandbox_runtime.sandbox import container, plan
from sandbox_runtime.sandbox.container import WallsDiffer
from tests.support.rooms import Room

TMP = "/tmp"  # noqa: S108 - the container's own
Change = Callable[[dict[str, Any]], None]


def host(**changed: object) -> Change:
    return lambda options: options["HostConfig"].update(changed)


def without_seccomp(options: dict[str, Any]) -> None:
    options["HostConfig"]["SecurityOpt"] = ["no-new-privileges", "seccomp=unconfined"]


def with_new_privileges(options: dict[str, Any]) -> None:
    options["HostConfig"]["SecurityOpt"] = ["seccomp=unconfined"]


def with_the_hosts_name(options: dict[str, Any]) -> None:
    options["Hostname"] = ""
    options["HostConfig"]["UTSMode"] = "host"


def as_root(options: dict[str, Any]) -> None:
    options["User"] = "0:0"


def with_a_network(options: dict[str, Any]) -> None:
    options["NetworkDisabled"] = False
    options["HostConfig"]["NetworkMode"] = "host"


def with_a_looser_ulimit(name: str) -> Change:
    def change(options: dict[str, Any]) -> None:
        for limit in options["HostConfig"]["Ulimits"]:
            if limit["Name"] == name:
                limit["Hard"] += 1

    return change


def with_another_source(options: dict[str, Any]) -> None:
    options["HostConfig"]["Mounts"].append(
        {"Type": "bind", "Source": "/etc", "Target": "/data", "ReadOnly": True}
    )


def with_a_writable_bind(options: dict[str, Any]) -> None:
    options["HostConfig"]["Mounts"][0]["ReadOnly"] = False


MISSING = [
    pytest.param(host(CapAdd=["NET_RAW"]), "capabilities", id="a capability"),
    pytest.param(host(ReadonlyRootfs=False), "mount /", id="root writable"),
    pytest.param(without_seccomp, "seccomp mode", id="no seccomp"),
    pytest.param(with_new_privileges, "no new privileges", id="new privileges"),
    pytest.param(as_root, "uid", id="root"),
    pytest.param(host(GroupAdd=["0"]), "groups", id="a group"),
    pytest.param(with_a_network, "network interfaces", id="the host's network"),
    pytest.param(host(PidsLimit=0), "pids", id="no limit of processes"),
    pytest.param(host(PidsLimit=33), "pids", id="one process more"),
    pytest.param(host(Memory=128 << 20, MemorySwap=128 << 20), "memory", id="more memory"),
    pytest.param(host(MemorySwap=128 << 20), "memory and swap", id="swap"),
    pytest.param(host(NanoCpus=0), "processor quota", id="no processor quota"),
    pytest.param(host(Tmpfs={TMP: "size=2097152,nr_inodes=64"}), "mount /tmp", id="larger tmp"),
    pytest.param(host(Tmpfs={TMP: "size=1048576"}), "mount /tmp", id="tmp without inode limit"),
    pytest.param(
        host(Tmpfs={TMP: "size=1048576,nr_inodes=64,exec"}),
        "mount /tmp",
        id="tmp executable",
    ),
    pytest.param(host(Tmpfs={}), "mount /tmp", id="no tmp"),
    pytest.param(host(ShmSize=1 << 20), "mount /dev/shm", id="larger shm"),
    pytest.param(with_another_source, "mount /data", id="a mount that nobody planned"),
    pytest.param(with_a_writable_bind, "mount /run/sandbox/runner.py", id="a writable bind"),
    pytest.param(host(PidMode="host"), "shared namespaces", id="the host's processes"),
    pytest.param(host(IpcMode="host"), "shared namespaces", id="the host's IPC"),
    pytest.param(with_the_hosts_name, "shared namespaces", id="the host's name"),
    pytest.param(host(CgroupnsMode="host"), "shared namespaces", id="the host's cgroups"),
    pytest.param(host(MaskedPaths=[]), "cover of /sys", id="nothing masked"),
    pytest.param(host(ReadonlyPaths=[]), "cover of /proc/sys", id="nothing protected"),
    pytest.param(host(Privileged=True), "capabilities", id="privileged"),
    *(
        pytest.param(with_a_looser_ulimit(name), f"rlimit {name}", id=f"a looser {name}")
        for name in ("fsize", "nofile", "core", "memlock", "msgqueue", "sigpending")
    ),
]


@pytest.mark.parametrize(("change", "wall"), MISSING)
async def test_a_container_with_a_wall_missing_is_refused_before_it_hears_the_call(
    room: Room, monkeypatch: pytest.MonkeyPatch, change: Change, wall: str
) -> None:
    def unsafe_options(made: plan.ContainerPlan) -> dict[str, Any]:
        options: dict[str, Any] = plan.engine_options(made)
        change(options)
        return options

    monkeypatch.setattr(container, "engine_options", unsafe_options)
    given = []
    monkeypatch.setattr(container.Container, "_give", lambda *_: given.append(1))
    with pytest.raises(WallsDiffer) as refused:
        await room.run("answer(1)")
    assert wall in {difference.wall for difference in refused.value.differences}
    assert not given
