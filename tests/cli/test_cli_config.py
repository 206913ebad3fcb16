"""`config` on settings as an operator writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.commands import document, run

if TYPE_CHECKING:
    from pathlib import Path

SETTINGS = """\
state_dir: /var/lib/here
manifests: /etc/manifests
listen:
  socket: /run/here/b.sock
peers:
  - {uid: 990, subject: "agent:reporting"}
drain: 5s
evidence: {reserve: 32Mi}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "broker.yaml"
    file.write_text(SETTINGS)
    return file


def test_each_setting_says_where_it_comes_from(config: Path) -> None:
    code, said = document("config", "--config", config)
    assert code == 0
    found = {one["name"]: (one["value"], one["source"]) for one in said["settings"]}
    assert found["state_dir"] == ("/var/lib/here", f"{config}:1")
    assert found["listen.socket"] == ("/run/here/b.sock", f"{config}:4")
    assert found["peers[0].uid"] == (990, f"{config}:6")
    assert found["drain"] == ("5s", f"{config}:7")
    assert found["evidence.reserve"] == ("32Mi", f"{config}:8")
    assert found["evidence.headroom"] == ("64Mi", "default")
    assert found["validators.first_uid"] == (64100, "default")


def test_what_the_broker_makes_of_a_setting_left_out_is_shown(config: Path) -> None:
    config.write_text("manifests: /etc/manifests\n")
    _, said = document("config", "--config", config)
    found = {one["name"]: one["value"] for one in said["settings"]}
    assert found["images_lock"] == "/etc/manifests/images.lock.json"
    assert str(found["peers[0].subject"]).startswith("uid:")


def test_people_get_a_table(config: Path) -> None:
    ended = run("config", "--config", config)
    assert (ended.returncode, ended.stderr) == (0, "")
    rows = [line.split(maxsplit=2) for line in ended.stdout.splitlines()]
    assert rows[0] == ["setting", "value", "from"]
    assert ["drain", "5s", f"{config}:7"] in rows


def test_settings_with_a_mistake_are_none(config: Path) -> None:
    config.write_text(SETTINGS.replace("drain", "drian"))
    ended = run("config", "--config", config)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert f"{config}:7:1: unknown key `drian`" in ended.stderr
