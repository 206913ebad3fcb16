from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from sandbox_runtime.client import Broker
from sandbox_runtime.server.issuing import book
from tests.support.commands import run


def issued(tmp_path: Path, *words: str) -> dict[str, object]:
    state = tmp_path / "state"
    given = ("--subject", "agent:reporting", "--role", "opener", "--role", "agent")
    ended = run("identity", "issue", *given, *words, "--state", state, "--json")
    assert ended.returncode == 0, ended.stderr
    document: dict[str, object] = json.loads(ended.stdout)
    return document


def test_a_certificate_is_written_where_nobody_else_can_read_its_key(tmp_path: Path) -> None:
    out = tmp_path / "out"
    told = issued(tmp_path, "--out", str(out), "--claim", "tenant=7", "--expires", "2d")
    assert (told["subject"], told["roles"], told["claims"], told["is"]) == (
        "agent:reporting",
        ["opener", "agent"],
        {"tenant": 7},
        "valid",
    )
    for name in ("ca.pem", "certificate.pem", "key.pem"):
        assert stat.S_IMODE((out / name).stat().st_mode) == 0o600
    with Broker.connect(
        "broker.test:8443",
        certificate=out / "certificate.pem",
        key=out / "key.pem",
        ca=out / "ca.pem",
    ):
        pass


def test_a_token_is_shown_once_and_never_again(tmp_path: Path) -> None:
    told = issued(tmp_path, "--token")
    token = told["token"]
    assert isinstance(token, str)
    assert token.startswith("sbt.")
    listed = run("identity", "list", "--state", tmp_path / "state", "--json").stdout
    assert token not in listed
    assert str(told["id"]) in listed
    kept = issued(tmp_path, "--token", "--out", str(tmp_path / "out"))
    assert kept["token"] is None
    assert stat.S_IMODE((tmp_path / "out/token").stat().st_mode) == 0o600


def test_what_is_revoked_is_listed_so(tmp_path: Path) -> None:
    told = issued(tmp_path, "--token")
    state = tmp_path / "state"
    for _ in range(2):
        ended = run("identity", "revoke", str(told["id"]), "--state", state, "--json")
        assert json.loads(ended.stdout)["is"] == "revoked"
    listed = run("identity", "list", "--state", state).stdout
    assert str(told["id"]) in listed
    assert "revoked" in listed
    missing = run("identity", "revoke", "i-0000000000000000", "--state", state)
    assert (missing.returncode, "identity list" in missing.stderr) == (1, True)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--subject", "nobody", "--role", "agent", "--token"), 2),
        (("--subject", "agent:x", "--role", "root", "--token"), 2),
        (("--subject", "agent:x", "--token"), 2),
        (("--subject", "agent:x", "--role", "agent"), 2),
        (("--subject", "agent:x", "--role", "agent", "--token", "--claim", "tenant=[7]"), 2),
        (("--subject", "agent:x", "--role", "agent", "--token", "--claim", 'tenant="\\ud800"'), 2),
        (("--subject", "agent:x", "--role", "agent", "--token", "--claim", "tenant"), 2),
        (("--subject", "agent:x", "--role", "agent", "--token", "--expires", "9999d"), 2),
        (("--subject", "agent:x", "--role", "agent", "--token", "--expires", "soon"), 2),
    ],
)
def test_what_cannot_be_issued_is_a_mistake_and_leaves_nothing(
    tmp_path: Path, words: tuple[str, ...], code: int
) -> None:
    state = tmp_path / "state"
    ended = run("identity", "issue", *words, "--state", state)
    assert (ended.returncode, "mend" in ended.stderr) == (code, True)
    assert not book.path(book.place(state)).exists()


def test_a_book_that_others_could_read_is_refused(tmp_path: Path) -> None:
    issued(tmp_path, "--token")
    book.path(book.place(tmp_path / "state")).chmod(0o644)
    ended = run("identity", "list", "--state", tmp_path / "state")
    assert ended.returncode == 3
    assert "open to others" in ended.stderr
