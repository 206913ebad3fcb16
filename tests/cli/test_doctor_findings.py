"""What the doctor finds, in facts recorded on a machine that is well, and in worse ones."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from sandbox_runtime.cli.doctor import issuing
from sandbox_runtime.cli.doctor.facts import Facts
from sandbox_runtime.cli.doctor.finding import Finding, Level
from sandbox_runtime.cli.doctor.of_broker import of_broker
from sandbox_runtime.cli.doctor.of_machine import of_machine
from sandbox_runtime.server.settings import Settings
from tests.support.identities import issue

if TYPE_CHECKING:
    from pathlib import Path

IDENTITY = {"path": "/s/identity", "there": True, "folder": True, "owner": 0, "mode": 0o700}

# Debian 12, Docker Engine 20.10, as `doctor --json` gave them; a time service added.
WELL: dict[str, Any] = {
    "engine": {
        "name": "Engine",
        "version": "20.10.24+dfsg1",
        "api": "1.41",
        "cgroup_version": "1",
        "storage": "overlay2",
        "runtimes": ["io.containerd.runc.v2", "io.containerd.runtime.v1.linux", "runc"],
        "security": ["name=seccomp,profile=default"],
        "limits": {"memory": True, "swap": True, "pids": True, "cpu": True},
    },
    "engine_socket": "/var/run/docker.sock",
    "engine_trouble": None,
    "kernel": {
        "release": "6.1.0",
        "controllers": ["cpu", "memory", "pids"],
        "seccomp": ["kill_process", "kill_thread", "trap", "errno", "trace", "log", "allow"],
        "modules": ["AppArmor"],
        "uid": 0,
        "capabilities": 0x1FF_FFFF_FFFF,
    },
    "clock": {"synchronised": True, "apart": 0.0, "now": 2_000_000, "newest_record": 1_000_000},
    "disk": {"free": 1 << 40, "reserved": 16 << 20, "reserve": 16 << 20, "headroom": 64 << 20},
    "state": {"path": "/s", "there": True, "folder": True, "owner": 0, "mode": 0o700},
    "keys": {"path": "/s/keys", "there": True, "folder": True, "owner": 0, "mode": 0o700},
    "issued": {
        "place": IDENTITY,
        "valid": 1,
    },
    "socket_folder": {"path": "/r", "there": True, "folder": True, "owner": 0, "mode": 0o750},
    "running": False,
    "validator_uids": [64100, 64101],
    "validators_trouble": None,
    "accounts": {},
    "housed": {
        "wanted": True,
        "first_uid": 70000,
        "last_uid": 70999,
        "accounts": {},
        "trouble": None,
    },
    "clash": None,
    "tools": 2,
    "manifests": "/m",
    "manifests_trouble": None,
    "images_trouble": None,
    "sources": [{"name": "sales", "tool": "sql", "path": "/d/sales.db", "readable": True}],
    "proof": {
        "image": "sha256:1",
        "walls": "e7dff3129f03f795",
        "outcome": "OK",
        "trouble": None,
        "took_ms": 92.0,
    },
}


def found(*changes: tuple[str, object]) -> list[Finding]:
    """Return the findings on the machine that is well, but for these changes."""
    facts: dict[str, Any] = {
        name: dict(part) if isinstance(part, dict) else part for name, part in WELL.items()
    }
    for path, value in changes:
        name, _, inner = path.partition(".")
        if inner:
            facts[name][inner] = value
        else:
            facts[name] = value
    seen = Facts.model_validate_json(json.dumps(facts))
    return [*of_machine(seen), *of_broker(seen)]


def test_a_machine_that_is_well_has_nothing_to_mend() -> None:
    findings = found()
    assert [one for one in findings if one.level is not Level.OK] == []
    assert len({one.about for one in findings}) == len(findings)


@pytest.mark.parametrize(
    ("change", "about", "level", "word"),
    [
        (("engine.api", "1.40"), "engine", Level.WRONG, "20.10"),
        (("engine.security", ["name=rootless", "name=seccomp"]), "engine", Level.WARNING, "root"),
        (("engine.name", "Podman Engine"), "engine", Level.WARNING, "Docker Engine"),
        (("engine.security", []), "seccomp, engine", Level.WRONG, "seccomp"),
        (("engine.runtimes", ["runsc"]), "runtimes", Level.WRONG, "daemon.json"),
        (("engine.storage", "vfs"), "storage", Level.WARNING, "overlay2"),
        (
            ("engine.limits", {"memory": True, "swap": False}),
            "limits",
            Level.WRONG,
            "swapaccount=1",
        ),
        (("kernel.controllers", ["cpu", "memory"]), "cgroups", Level.WRONG, "mount"),
        (("kernel.seccomp", []), "seccomp, kernel", Level.WRONG, "CONFIG_SECCOMP_FILTER"),
        (("kernel.modules", []), "security module", Level.WARNING, "AppArmor"),
        (("kernel.capabilities", 0x1FF_FFDF_FFFF), "powers", Level.WRONG, "with them"),
        (("clock.synchronised", False), "time service", Level.WARNING, "chrony"),
        (("clock.apart", 0.2), "clock", Level.WARNING, "slew"),
        (("clock.newest_record", 9_000_000), "clock", Level.WARNING, "set the clock"),
        (("clash", "0.3.0"), "name", Level.WRONG, "pip uninstall sandbox-runtime"),
        (("accounts", {64101: "user `ada`"}), "validator uids", Level.WRONG, "first_uid"),
        (("validators_trouble", "no"), "validators", Level.WRONG, "as root"),
        (("housed.trouble", "no loop device"), "workspaces", Level.WRONG, "e2fsprogs"),
        (("housed.accounts", {70001: "user `ada`"}), "workspaces", Level.WRONG, "first_uid"),
        (("state.mode", 0o750), "state", Level.WRONG, "chmod 700 /s"),
        (("state.owner", 5), "state", Level.WRONG, "chown"),
        (("keys.mode", 0o701), "keys", Level.WRONG, "renew"),
        (
            ("issued.place", IDENTITY | {"mode": 0o755}),
            "identity",
            Level.WRONG,
            "chmod 700 /s/identity",
        ),
        (("issued.trouble", "open to others"), "identities", Level.WRONG, "issue anew"),
        (("issued.ending", ["i-1 of agent:x"]), "identities", Level.WARNING, "new ones"),
        (("socket_folder.mode", 0o777), "socket", Level.WRONG, "chmod o-w /r"),
        (("disk.free", 60 << 20), "disk", Level.WRONG, "make room"),
        (("disk.free", 70 << 20), "disk", Level.WARNING, "make room"),
        (("manifests_trouble", "m.yaml:1:1: no"), "manifests", Level.WRONG, "manifest check /m"),
        (("images_trouble", "gone"), "images", Level.WRONG, "tool build"),
        (("proof.trouble", "memory: 1, not 2"), "proof", Level.WRONG, "until engine and kernel"),
        (("proof.walls", None), "proof", Level.WRONG, "until engine and kernel"),
        (("proof.outcome", "TIMEOUT"), "proof", Level.WRONG, "tool try"),
        (("proof.image", None), "proof", Level.WRONG, "tool build"),
    ],
    ids=lambda part: str(part) if isinstance(part, tuple) else None,
)
def test_what_is_not_well_is_found_with_its_mend(
    change: tuple[str, object], about: str, level: Level, word: str
) -> None:
    (one,) = [one for one in found(change) if one.level is not Level.OK]
    assert (one.about, one.level) == (about, level)
    assert one.mend is not None
    assert word in one.mend


def test_who_asks_for_no_workspace_can_do_without() -> None:
    said = found(("housed.wanted", False), ("housed.trouble", "no loop device"))
    (one,) = [one for one in said if one.level is not Level.OK]
    assert (one.about, one.level) == ("workspaces", Level.WARNING)


def test_without_an_engine_it_is_the_engine_that_is_to_be_mended() -> None:
    said = found(("engine", None), ("images_trouble", "no answer"))
    first, proof = [one for one in said if one.level is Level.WRONG]
    assert (first.about, proof.about, proof.mend) == ("engine", "proof", "mend the engine first")
    assert first.mend is not None
    assert "docker info" in first.mend


def test_who_is_not_root_can_run_no_broker() -> None:
    owned = (
        ("state.owner", 1000),
        ("keys.owner", 1000),
        ("issued.place", IDENTITY | {"owner": 1000}),
    )
    (one,) = [one for one in found(("kernel.uid", 1000), *owned) if one.level is not Level.OK]
    assert (one.about, one.mend) == ("powers", "run this, and the broker, as root")


@pytest.mark.parametrize(
    ("source", "word"),
    [
        ({"path": None, "readable": False}, "data: {sales: /its/path}"),
        ({"path": "/d/sales.db", "readable": False}, "chmod o+r /d/sales.db"),
    ],
)
def test_data_that_a_tool_cannot_have_is_found(source: dict[str, object], word: str) -> None:
    named = {"name": "sales", "tool": "sql", **source}
    (one,) = [one for one in found(("sources", [named])) if one.level is Level.WRONG]
    assert one.mend is not None
    assert word in one.mend


def test_what_is_made_at_the_first_start_is_no_problem_before_it() -> None:
    nowhere = {"path": "/none", "there": False}
    absent = (("state", nowhere), ("keys", nowhere), ("socket_folder", nowhere))
    assert all(one.level is Level.OK for one in found(*absent))


def test_room_that_the_reserve_takes_already_is_not_asked_for_twice() -> None:
    room = ("disk.free", 70 << 20)
    assert any(one.level is Level.WRONG for one in found(room, ("disk.reserved", 0)))
    assert not any(one.level is Level.WRONG for one in found(room))


def test_a_directory_that_all_may_write_to_is_safe_where_it_is_sticky() -> None:
    assert all(one.level is Level.OK for one in found(("socket_folder.mode", 0o1777)))


def test_what_ends_soon_and_what_others_can_read_is_seen(tmp_path: Path) -> None:
    chosen = Settings.model_validate({"state_dir": str(tmp_path / "state"), "manifests": "/m"})
    assert not issuing.seen(chosen).place.there
    short = issue(tmp_path / "state", "token", lifetime=timedelta(days=2))
    issue(tmp_path / "state", lifetime=timedelta(days=30))
    seen = issuing.seen(chosen)
    assert (seen.trouble, seen.valid, seen.ending) == (None, 2, (f"{short.id} of agent:tests",))
    (tmp_path / "state/identity/ca.key").chmod(0o644)
    assert "open to others" in str(issuing.seen(chosen).trouble)
