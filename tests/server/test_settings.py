from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest

from sandbox_runtime.manifests.problems import ManifestErrors
from sandbox_runtime.server.caller import Role
from sandbox_runtime.server.loading import load, parse
from sandbox_runtime.server.settings import Settings

WHOLE = """\
state_dir: /var/lib/broker
manifests: /etc/broker/manifests
images_lock: /etc/broker/images.lock.json
engine: /run/docker.sock
listen:
  socket: /run/broker/b.sock
  group: nogroup
  dev: {port: 0, subject: "agent:demo"}
peers:
  - {uid: 0, subject: "uid:0"}
  - {uid: 1000, subject: "agent:reporting", roles: [agent, auditor], claims: {tenant: 7}}
data: {}
validators: {count: 2, time: 500ms, first_uid: 70000}
rates:
  subject: {per_second: 10, burst: 20}
  task: {per_second: 0.5, burst: 1}
calls:
  running: 4
  running_per_subject: 3
  running_per_task: 2
  queued: 9
  queued_per_subject: 8
  queued_per_task: 7
  detached: 2
  watchers: 3
workspaces: {first_uid: 80000, count: 20, count_per_subject: 5, headroom: 1Gi}
files: {put: 1Mi, get: 1Mi, at_once: 1, subject_at_once: 1, all_at_once: 2}
evidence: {reserve: 1Mi, headroom: 2Mi}
audit: {readers: 1, tails: 2}
patience: 5s
strangers_every: 1s
drain: 5s
sweep_every: 30s
"""


def problems(text: str) -> list[str]:
    with pytest.raises(ManifestErrors) as caught:
        parse("broker.yaml", text)
    return [str(problem) for problem in caught.value.problems]


def test_every_key_can_be_set() -> None:
    settings = parse("broker.yaml", WHOLE)
    assert {uid: one.subject for uid, one in settings.callers().items()} == {
        0: "uid:0",
        1000: "agent:reporting",
    }
    assert settings.drain == timedelta(seconds=5)
    assert settings.evidence.reserve == 1 << 20
    assert str(settings.lock) == "/etc/broker/images.lock.json"
    assert settings.calls.limits().running_per_subject == 3
    assert set(Settings.model_fields) == settings.model_fields_set


def test_a_peer_has_the_roles_and_claims_that_it_is_given_or_those_of_an_agent() -> None:
    zero, reporting = parse("broker.yaml", WHOLE).callers().values()
    assert zero.roles == frozenset({Role.OPENER, Role.AGENT})
    assert not zero.claims
    assert reporting.roles == frozenset({Role.AGENT, Role.AUDITOR})
    assert reporting.claims == {"tenant": 7}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("roles: []", "at least 1"),
        ("roles: [agent, agent]", "expected each role once"),
        ("roles: [root]", "auditor"),
        ("claims: {tenant: [7]}", "expected a string"),
        ("claims: {Tenant: 7}", "Tenant"),
    ],
)
def test_a_role_or_claim_that_is_none_does_not_load(given: str, expected: str) -> None:
    text = f'manifests: /m\npeers: [{{uid: 0, subject: "uid:0", {given}}}]\n'
    (problem,) = problems(text)
    assert problem.startswith("broker.yaml:2:")
    assert expected in problem


def test_left_out_nobody_but_the_broker_s_own_user_may_connect() -> None:
    settings = parse("broker.yaml", "manifests: /m\n")
    assert {uid: one.subject for uid, one in settings.callers().items()} == {
        os.geteuid(): f"uid:{os.geteuid()}"
    }
    assert settings.listen.dev is None
    assert settings.listen.group is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("manifest: /m\n", "broker.yaml:1:1: unknown key `manifest`; did you mean `manifests`?"),
        ("drain: 5s\n", "broker.yaml:1:1: missing key `manifests`"),
        ("manifests: m\n", "broker.yaml:1:12: expected an absolute path"),
        ("manifests: /m\ndrain: 5\n", "broker.yaml:2:8: expected a duration like"),
        ("manifests: /m\nmanifests: /n\n", "broker.yaml:2:1: key `manifests` stands here twice"),
        ("manifests: &a /m\nstate_dir: *a\n", "broker.yaml:1:12: anchor `&a`"),
        ("manifests: /m\nlisten: {dev: {port: 70000}}\n", "broker.yaml:2:22: expected at most"),
        (
            "manifests: /m\nvalidators: {count: 4, first_uid: 69997}\n",
            "broker.yaml:1:1: `workspaces` and `validators` share user ids",
        ),
        ("manifests: /m\nlisten: {group: no-such-group}\n", "there is no group `no-such-group`"),
        ('manifests: /m\npeers: [{uid: -1, subject: "uid:1"}]\n', "expected at least `0`"),
        ("manifests: /m\npeers: [{uid: 1, subject: root}]\n", "expected a subject like"),
        ('manifests: /m\npeers: [{uid: 1, subject: "a:b"}, {uid: 1, subject: "a:c"}]\n', "twice"),
        ("manifests: /m\ndata: {sales: /no/such/file}\n", "broker.yaml:2:15: cannot be used"),
        ("manifests: /m\ndata: {sales: /etc}\n", "expected a regular file"),
        ("manifests: /m\ndata: {sales: etc/passwd}\n", "expected an absolute path"),
        ("manifests: /m\nlisten: {dev: NO}\n", "broker.yaml:2:15:"),
        ("manifests: /m\nimages_lock: null\n", "broker.yaml:2:"),
        (f"manifests: /m\nstate_dir: /{'x' * 100}\n", "expected a path of at most 87 bytes"),
        ("manifests: /m\n---\nmanifests: /m\n", "expected one document"),
        ("[]\n", "expected a mapping"),
        ("", "holds no manifest"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_place(text: str, problem: str) -> None:
    assert any(problem in each for each in problems(text)), problems(text)


def test_a_link_is_not_taken_for_data(tmp_path: Path) -> None:
    (tmp_path / "shadow.db").symlink_to("/etc/shadow")
    text = f"manifests: /m\ndata: {{sales: {tmp_path / 'shadow.db'}}}\n"
    assert "no link to one" in problems(text)[0]


def test_a_file_that_cannot_be_read_is_said_to_be(tmp_path: Path) -> None:
    with pytest.raises(ManifestErrors, match="cannot be read"):
        load(tmp_path / "none.yaml")
    (tmp_path / "broker.yaml").write_bytes(b"\xff")
    with pytest.raises(ManifestErrors, match="not UTF-8"):
        load(tmp_path / "broker.yaml")
    (tmp_path / "broker.yaml").write_text("manifests: /m\n")
    assert load(tmp_path / "broker.yaml").manifests == "/m"
