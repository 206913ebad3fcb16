"""`serve`: how it begins, and how it says that it cannot."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support.commands import COMMAND, Place, configure, document, run

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def other(place: Place, tmp_path: Path) -> Place:
    """A second broker's place, with the same tools."""
    shutil.copytree(place.manifests, tmp_path / "manifests")
    made = Place(root=tmp_path)
    configure(made)
    return made


def test_settings_are_named_or_it_is_said_that_there_are_none() -> None:
    for words in ((), ("--dev", "--config", os.devnull)):
        ended = run("serve", *words)
        assert ended.returncode == 2
        assert ended.stderr.splitlines()[-1] == "mend: `sandbox-broker serve --help`"


def test_a_mistake_in_the_settings_is_shown_with_its_place(other: Place) -> None:
    other.config.write_text("state_dirr: /tmp/x\n")
    ended = run("serve", "--config", other.config)
    assert ended.returncode == 1
    assert f"{other.config}:1:1: " in ended.stderr
    assert "did you mean `state_dir`?" in ended.stderr
    code, said = document("serve", "--config", other.config)
    assert (code, said["problems"][0]["line"]) == (1, 1)


def test_a_state_that_another_broker_uses_is_not_shared(place: Place, other: Place) -> None:
    configure(other, state_dir=str(place.state))
    ended = run("serve", "--config", other.config)
    assert ended.returncode == 3
    assert ended.stderr == (
        f"error: another process is writing the log under `{place.state}/log`\n"
        "mend: stop the other broker, or give this one another `state_dir`\n"
    )


def test_images_that_are_not_the_locked_ones_are_refused(other: Place) -> None:
    (other.manifests / "images.lock.json").unlink()
    ended = run("serve", "--config", other.config)
    assert ended.returncode == 3
    assert ended.stderr.splitlines()[-1].endswith("run `sandbox-broker tool build`")


def test_an_engine_that_is_away_is_said_to_be_before_anything_listens(other: Place) -> None:
    configure(other, engine=str(other.root / "none.sock"))
    code, said = document("serve", "--config", other.config)
    assert code == 3
    assert said["mend"] == "see that the engine runs and that you may use it: `docker info`"
    assert not (other.root / "run/b.sock").exists()


def test_it_says_in_one_document_that_it_is_ready_and_ends_with_0(other: Place) -> None:
    with subprocess.Popen(  # noqa: S603 - our own command
        [COMMAND, "serve", "--config", other.config, "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as broker:
        assert broker.stdout is not None
        assert broker.stderr is not None
        lines: list[str] = []
        while not lines or lines[-1] != "}\n":
            lines.append(broker.stdout.readline())
            assert lines[-1], broker.stderr.read()
        broker.send_signal(signal.SIGTERM)
        rest, diagnostics = broker.communicate(timeout=40)
    said = json.loads("".join(lines) + rest)
    assert said["socket"] == other.address
    assert (said["port"], said["token_file"]) == (None, None)
    assert broker.returncode == 0
    assert json.loads(diagnostics.splitlines()[0])["event"] == "ready"


def test_dev_serves_the_tree_at_hand_on_loopback_with_a_token(other: Place) -> None:
    """The fixed port may be taken on this machine; then it says so."""
    with subprocess.Popen(  # noqa: S603 - our own command
        [COMMAND, "serve", "--dev", "--state", other.state],
        cwd=_as_tool_manifests(other),
        env={**os.environ, "TMPDIR": str(other.root)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as broker:
        assert broker.stdout is not None
        first, second = broker.stdout.readline(), broker.stdout.readline()
        try:
            token = other.state / "dev-token"
            assert second == f"ready on 127.0.0.1:7443, token in {token}\n", broker.stderr
            secret = token.read_text().strip()
            assert token.stat().st_mode & 0o077 == 0
            address = ("--broker", "127.0.0.1:7443")
            code, said = document("call", "small-task", "small", *address, "--token", secret)
            assert (code, said["reason"]) == (1, "OPENER_NOT_ALLOWED")
            code, said = document("call", "small-task", "small", *address, "--token", "x" * 43)
            assert (code, said["reason"]) == (1, "UNAUTHENTICATED")
        finally:
            broker.send_signal(signal.SIGTERM)
            broker.communicate(timeout=40)
    assert first == f"ready on unix:{other.root}/sandbox-broker-dev/broker.sock\n"


def _as_tool_manifests(place: Place) -> Path:
    place.manifests.rename(place.root / "tool_manifests")
    return place.root
