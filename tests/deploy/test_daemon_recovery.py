"""A daemon of our own, started for real beside the machine's engine, and killed uncleanly."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from provision.daemon import Daemon, end, process_of, processes
from provision.engine_api import EngineApi


def version(daemon: Daemon) -> str:
    return EngineApi(socket=daemon.socket).version()


def containerd_of(daemon: Daemon) -> int:
    return int((daemon.exec_root / "containerd" / "containerd.pid").read_text())


def kill(*pids: int) -> None:
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while any(process_of(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.02)


def running(daemon: Daemon) -> int:
    process = daemon.running()
    assert process is not None
    return process.pid


def test_a_daemon_runs_in_a_session_of_its_own_and_answers(daemon: Daemon) -> None:
    assert version(daemon)
    assert os.getsid(running(daemon)) == running(daemon)


def test_a_containerd_that_outlived_its_daemon_does_not_keep_the_next_from_starting(
    daemon: Daemon,
) -> None:
    kill(running(daemon), containerd_of(daemon))
    home = daemon.exec_root / "containerd"
    command = ["/usr/bin/containerd", "--config", str(home / "containerd.toml")]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True) as orphan:  # noqa: S603
        (home / "containerd.pid").write_text(str(orphan.pid))
        assert daemon.start() == version(daemon)
        assert orphan.wait(timeout=5) is not None
    assert containerd_of(daemon) != orphan.pid


def test_after_both_were_killed_their_pid_files_do_not_keep_the_next_from_starting(
    daemon: Daemon,
) -> None:
    kill(running(daemon), containerd_of(daemon))
    assert daemon.pid_file.exists()
    assert daemon.start()


def test_a_pid_file_that_names_a_stranger_is_removed_and_the_stranger_lives(
    daemon: Daemon,
) -> None:
    stranger = subprocess.Popen(["/bin/sleep", "60"])
    try:
        kill(running(daemon), containerd_of(daemon))
        daemon.pid_file.write_text(str(stranger.pid))
        (daemon.exec_root / "containerd" / "containerd.pid").write_text(str(stranger.pid))
        daemon.start()
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_stopping_ends_the_daemon_and_its_containerd_and_no_other(daemon: Daemon) -> None:
    others = {one.pid for one in processes() if one.program == "dockerd"} - {running(daemon)}
    containerd = containerd_of(daemon)
    assert daemon.stop()
    assert daemon.running() is None
    assert process_of(containerd) is None
    assert all(process_of(pid) for pid in others)
    assert not daemon.stop()


def test_what_the_machine_s_owner_configured_counts_more_than_our_wishes(room: Path) -> None:
    configured = room / "owner.json"
    configured.write_text('{"data-root": "/srv/docker", "iptables": true}')
    settings = Daemon(home=room / "home", configured=configured).settings()
    assert (settings["data-root"], settings["iptables"], settings["bridge"]) == (
        "/srv/docker",
        True,
        "none",
    )


def test_a_process_that_ignores_the_request_to_end_is_killed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("provision.daemon.STOP", 0.3)
    command = "import signal; signal.signal(15, signal.SIG_IGN); print(flush=True); signal.pause()"
    with subprocess.Popen([sys.executable, "-c", command], stdout=subprocess.PIPE) as stubborn:  # noqa: S603
        assert stubborn.stdout is not None
        stubborn.stdout.readline()
        process = process_of(stubborn.pid)
        assert process is not None
        end(process)
        assert stubborn.wait() == -signal.SIGKILL
