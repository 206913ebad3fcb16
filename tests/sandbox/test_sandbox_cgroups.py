"""Limits and counters from recorded file trees; version 1 is also read live, elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox_runtime.sandbox import cgroups
from sandbox_runtime.sandbox.cgroups import Counted, Held

ID = "f" * 64


def lay(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.fixture
def version2(tmp_path: Path) -> Path:
    """As a systemd host with the unified hierarchy has it."""
    scope = f"sys/fs/cgroup/system.slice/docker-{ID}.scope"
    return lay(
        tmp_path,
        {
            "proc/7/cgroup": f"0::/system.slice/docker-{ID}.scope\n",
            "proc/self/mountinfo": (
                "24 1 0:22 / /sys rw - sysfs sysfs rw\n"
                "31 24 0:27 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
            ),
            f"{scope}/memory.max": "67108864\n",
            f"{scope}/memory.swap.max": "0\n",
            f"{scope}/memory.peak": "5242880\n",
            f"{scope}/memory.events": "low 0\nhigh 0\nmax 3\noom 1\noom_kill 1\noom_group_kill 0\n",
            f"{scope}/pids.max": "32\n",
            f"{scope}/pids.peak": "9\n",
            f"{scope}/pids.events": "max 2\n",
            f"{scope}/cpu.max": "50000 100000\n",
            f"{scope}/cpu.stat": "usage_usec 1500000\nuser_usec 1000000\nsystem_usec 500000\n",
        },
    )


@pytest.fixture
def version1(tmp_path: Path) -> Path:
    """As a hybrid host has it."""
    controllers = ("memory", "pids", "cpu,cpuacct")
    own = "\n".join(f"{n}:{name}:/docker/{ID}" for n, name in enumerate(controllers, 1))
    folders = {name: f"sys/fs/cgroup/{name}/docker/{ID}" for name in controllers}
    mounts = "".join(
        f"3{n} 24 0:3{n} / /sys/fs/cgroup/{name} rw - cgroup cgroup rw,{name}\n"
        for n, name in enumerate(controllers)
    )
    return lay(
        tmp_path,
        {
            "proc/7/cgroup": f"{own}\n0::/docker/{ID}\n",
            "proc/self/mountinfo": mounts,
            f"{folders['memory']}/memory.limit_in_bytes": "67108864\n",
            f"{folders['memory']}/memory.memsw.limit_in_bytes": "67108864\n",
            f"{folders['memory']}/memory.max_usage_in_bytes": "5242880\n",
            f"{folders['memory']}/memory.oom_control": (
                "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n"
            ),
            f"{folders['pids']}/pids.max": "32\n",
            f"{folders['pids']}/pids.current": "9\n",
            f"{folders['pids']}/pids.events": "max 2\n",
            f"{folders['cpu,cpuacct']}/cpu.cfs_quota_us": "50000\n",
            f"{folders['cpu,cpuacct']}/cpu.cfs_period_us": "100000\n",
            f"{folders['cpu,cpuacct']}/cpuacct.usage": "1500000000\n",
        },
    )


@pytest.fixture(params=["version1", "version2"])
def host(request: pytest.FixtureRequest) -> Path:
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Path)
    return found


def test_both_versions_say_the_same(host: Path) -> None:
    cgroup = cgroups.locate(7, ID, host)
    assert cgroup.held() == Held(
        memory=64 << 20, memory_and_swap=64 << 20, pids=32, cpu_quota=50_000
    )
    assert cgroup.counted() == Counted(
        oom_kills=1, pids_refused=2, memory_peak=5 << 20, pids_peak=9, cpu_seconds=1.5
    )


def test_a_pid_that_passed_to_another_process_is_noticed(host: Path) -> None:
    with pytest.raises(LookupError):
        cgroups.locate(7, "e" * 64, host)


@pytest.mark.parametrize(
    ("file", "field"),
    [("memory.max", "memory"), ("memory.swap.max", "memory_and_swap"), ("pids.max", "pids")],
)
def test_no_limit_in_version_2_is_none(version2: Path, file: str, field: str) -> None:
    next(version2.rglob(file)).write_text("max\n")
    assert getattr(cgroups.locate(7, ID, version2).held(), field) is None


def test_no_processor_limit_is_none_in_either(host: Path) -> None:
    for name, text in (("cpu.max", "max 100000\n"), ("cpu.cfs_quota_us", "-1\n")):
        for path in host.rglob(name):
            path.write_text(text)
    assert cgroups.locate(7, ID, host).held().cpu_quota is None


def test_no_memory_limit_in_version_1_is_none(version1: Path) -> None:
    next(version1.rglob("memory.limit_in_bytes")).write_text("9223372036854771712\n")
    assert cgroups.locate(7, ID, version1).held().memory is None


def test_a_limit_that_cannot_be_read_is_an_error(host: Path) -> None:
    for path in host.rglob("pids.max"):
        path.unlink()
    with pytest.raises(FileNotFoundError):
        cgroups.locate(7, ID, host).held()
