"""The set-up as a person meets it: a plan, a question, steps, and what to do if one fails."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from provision import environment
from provision.commands import Commands
from provision.editor import found_node
from provision.engine import socket_of
from provision.places import Places
from provision.problem import Problem
from provision.steps import Intent, Progress, may_install, show_plan

CHECKOUT = Path(__file__).resolve().parents[2]


class Terminal(io.StringIO):
    """A person sits here."""

    def isatty(self) -> bool:
        return True


@dataclass(kw_only=True)
class Recorded:
    """A step that says whether it acted."""

    installs: bool
    name: str = "engine"
    acted: list[str] = field(default_factory=list)

    def intent(self) -> Intent:
        return Intent(words="install an engine", installs=self.installs)

    def act(self) -> str:
        self.acted.append(self.name)
        return "an engine"


def test_the_plan_is_shown_before_anything_acts() -> None:
    out, step = io.StringIO(), Recorded(installs=True)
    assert show_plan([step], out)
    assert "install an engine" in out.getvalue()
    assert not step.acted


def test_a_plan_that_installs_nothing_needs_no_answer() -> None:
    assert not show_plan([Recorded(installs=False)], io.StringIO())


@pytest.mark.parametrize("answer", ["n\n", "\n", "", "yeah\n"])
def test_nothing_is_installed_unless_the_person_at_the_terminal_says_yes(
    answer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", Terminal(answer))
    with pytest.raises(Problem, match="nothing was changed"):
        may_install({}, Terminal())


@pytest.mark.parametrize("env", [{"YES": "1"}, {"CI": "true"}])
def test_with_yes_and_in_ci_nobody_is_asked(
    env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", Terminal("n\n"))
    may_install(env, Terminal())


def test_where_nobody_sits_nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    may_install({}, io.StringIO())


def test_each_step_ends_with_one_line_that_has_its_time() -> None:
    out = io.StringIO()
    Progress(out).run(Recorded(installs=False))
    assert out.getvalue() == "  ✓ engine       an engine  (0.0 s)\n"


def test_a_failed_command_shows_its_last_lines_and_how_to_mend_it(tmp_path: Path) -> None:
    commands = Commands(tmp_path / "setup.log", lambda _: None)
    script = "for i in $(seq 30); do echo line $i; done; exit 3"
    with pytest.raises(Problem, match="line 30") as raised:
        commands.run(["sh", "-c", script], mend="try harder")
    assert "line 1\n" not in raised.value.what
    assert raised.value.mend[0] == "try harder"
    assert "line 1\n" in (tmp_path / "setup.log").read_text()


@pytest.mark.parametrize("remote", ["tcp://10.0.0.1:2375", "ssh://host", "docker.sock"])
def test_an_engine_on_another_machine_is_refused(remote: str) -> None:
    with pytest.raises(Problem, match="must run here"):
        socket_of({"DOCKER_HOST": remote})


@pytest.mark.parametrize("lock", ["server", "dev", "protos"])
def test_every_package_in_a_lock_has_a_hash_and_no_lock_names_an_index(lock: str) -> None:
    text = Places(checkout=CHECKOUT).lock(lock).read_text()
    entries = text.replace("\\\n", "").strip().splitlines()
    assert entries
    assert all("==" in entry and "--hash=sha256:" in entry for entry in entries)
    assert "://" not in text
    assert "--index" not in text


def test_the_lock_for_tests_pins_what_the_broker_runs_with() -> None:
    pins = {
        lock: set(environment.PINNED_AT.findall(Places(checkout=CHECKOUT).lock(lock).read_text()))
        for lock in ("server", "dev")
    }
    assert pins["server"] <= pins["dev"]


@pytest.mark.parametrize(
    ("said", "enough"), [("v18.0.0", True), ("v24.1.0", True), ("v16.20.2", False), ("x", False)]
)
def test_the_machines_own_node_is_used_where_it_is_new_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, *, enough: bool
) -> None:
    for name in ("node", "npm"):
        (tmp_path / name).write_text(f"#!/bin/sh\necho {said}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    assert (found_node() is not None) is enough
    (tmp_path / "npm").unlink()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert found_node() is None


def test_the_editors_lock_names_a_digest_for_each_package_and_no_host() -> None:
    text = (CHECKOUT / "deploy" / "lock" / "editor" / "package-lock.json").read_text()
    packages = json.loads(text)["packages"]
    assert "://" not in text
    assert packages.pop("")["dependencies"].keys() == {"yaml-language-server"}
    assert all(one["integrity"].startswith("sha512-") for one in packages.values())
