from __future__ import annotations

from typing import TYPE_CHECKING

import click
import pytest

from sandbox_runtime.cli.demo.serving import surroundings
from sandbox_runtime.cli.main import _group as commands
from sandbox_runtime.manifests.problems import ManifestErrors
from sandbox_runtime.server.environment import OF_COMMANDS, PREFIX, variables
from sandbox_runtime.server.loading import given, load, parse
from sandbox_runtime.server.origins import origins
from sandbox_runtime.server.settings import Peer, Settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FILE = """\
manifests: /m
drain: 5s
listen: {socket: /run/here/b.sock}
peers: [{uid: 990, subject: "agent:file"}]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "broker.yaml"
    path.write_text(FILE)
    return path


def put(monkeypatch: pytest.MonkeyPatch, **variables: str) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(PREFIX + name, value)


def problems(file: Path) -> list[str]:
    with pytest.raises(ManifestErrors) as caught:
        load(file)
    return [str(problem) for problem in caught.value.problems]


def test_a_variable_goes_over_the_file_and_the_file_over_the_default(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(
        monkeypatch,
        DRAIN="7s",
        LISTEN__DEV__PORT="0",
        VALIDATORS__COUNT="2",
        RATES__TASK="{per_second: 0.5, burst: 3}",
        PEERS='[{"uid": 0, "subject": "agent:environment"}]',
        EVIDENCE__RESERVE="2Mi",
    )
    settings = load(file)
    assert settings.drain.total_seconds() == 7
    assert (settings.listen.socket, settings.validators.count) == ("/run/here/b.sock", 2)
    assert settings.listen.dev is not None
    assert settings.listen.dev.port == 0
    assert (settings.rates.task.per_second, settings.rates.task.burst) == (0.5, 3)
    assert settings.peers == (Peer(uid=0, subject="agent:environment"),)
    assert settings.evidence.reserve == 2 << 20
    assert settings.sweep_every == parse("f", "manifests: /m\n").sweep_every


def test_a_name_of_data_is_set_by_a_variable_of_its_own(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(monkeypatch, DATA__SALES=str(file))
    assert load(file).data == {"sales": str(file)}


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("DRIAN", "5s", "DRIAN: there is no such setting; did you mean `SANDBOX_BROKER_DRAIN`?"),
        ("DRAIN__X", "5s", "DRAIN__X: there is no such setting; `drain` has no parts"),
        ("LISTEN__SOCKETS", "/x", "LISTEN__SOCKETS: unknown key `sockets`; did you mean `socket`?"),
        ("DRAIN", "5", "DRAIN: expected a duration like"),
        ("DRAIN", "PT5S", "DRAIN: expected a duration like"),
        ("EVIDENCE__RESERVE", "5", "EVIDENCE__RESERVE: expected a size like"),
        ("VALIDATORS__COUNT", "0", "VALIDATORS__COUNT: expected at least `1`"),
        ("VALIDATORS__COUNT", "many", "VALIDATORS__COUNT: expected an integer"),
        ("VALIDATORS__COUNT", "", "VALIDATORS__COUNT: expected an integer"),
        ("VALIDATORS", "3", "VALIDATORS: expected a mapping"),
        ("VALIDATORS", "{count: 1, count: 2}", "VALIDATORS: expected a mapping"),
        ("LISTEN", "{dev: null}", "LISTEN: `null` means nothing here"),
        ("PEERS__0__UID", "1", "PEERS__0__UID: expected a list"),
        ("PEERS", '[{uid: -1, subject: "uid:1"}]', "PEERS: expected at least `0`"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_the_variable_s_name(
    file: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, problem: str
) -> None:
    put(monkeypatch, **{name: value})
    assert any(each.startswith(PREFIX + problem) for each in problems(file)), problems(file)


def test_a_value_that_is_no_text_is_told_by_its_variable(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(monkeypatch, DRAIN="\udcff", LISTEN__GROUP="a\udcffb")
    assert {line.partition(";")[0] for line in problems(file)} == {
        "SANDBOX_BROKER_DRAIN: its value is not UTF-8",
        "SANDBOX_BROKER_LISTEN__GROUP: its value is not UTF-8",
    }


def test_what_a_variable_holds_is_never_told(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(monkeypatch, DRAIN="s3cret", TOKN="s3cret", VALIDATORS__COUNT="s3cret", LISTEN="s3cret")
    said = "\n".join(problems(file))
    assert said.count("SANDBOX_BROKER_") >= 4
    assert "s3cret" not in said


def test_a_mistake_in_the_file_keeps_its_line_beside_one_in_the_environment(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text(FILE.replace("drain: 5s", "drian: 5s"))
    put(monkeypatch, SWEEP_EVERY="1")
    said = problems(file)
    assert f"{file}:2:1: unknown key `drian`; did you mean `drain`?" in said
    assert any(each.startswith("SANDBOX_BROKER_SWEEP_EVERY: expected") for each in said)


def test_each_setting_names_the_variable_that_set_it(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(monkeypatch, DRAIN="7s", LISTEN__GROUP="nogroup", PEERS="[]", CALLS="{detached: 3}")
    found = {one.name: (one.value, one.source) for one in origins(given(file))}
    assert found["drain"] == ("7s", "SANDBOX_BROKER_DRAIN")
    assert found["listen.group"] == ("nogroup", "SANDBOX_BROKER_LISTEN__GROUP")
    assert found["listen.socket"] == ("/run/here/b.sock", f"{file}:3")
    assert found["calls.detached"] == (3, "SANDBOX_BROKER_CALLS")
    assert found["calls.watchers"][1] == "default"
    assert found["manifests"][1] == f"{file}:1"


def test_the_variables_of_commands_are_no_mistakes(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(monkeypatch, **{name.upper(): "x" for name in OF_COMMANDS})
    assert load(file).manifests == "/m"
    assert not OF_COMMANDS & set(Settings.model_fields)


def test_the_demonstration_s_broker_takes_no_setting_of_another_s() -> None:
    there = {"PATH": "/bin", "SANDBOX_BROKER_STATE_DIR": "/var/lib/real", "SANDBOX_BROKER": "unix:"}
    assert surroundings(there) == {"PATH": "/bin", "SANDBOX_BROKER": "unix:"}


def test_every_variable_that_a_command_reads_is_known_to_be_one() -> None:
    read = {name for name in _variables(commands) if name.startswith(PREFIX)}
    assert {name.removeprefix(PREFIX).lower() for name in read} == OF_COMMANDS


def _variables(command: click.Command) -> Iterator[str]:
    for parameter in command.params:
        names = parameter.envvar or []
        yield from [names] if isinstance(names, str) else names
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from _variables(inner)


@pytest.mark.parametrize("option", ["TOKEN", "CERTIFICATE", "KEY", "CA"])
def test_what_says_who_a_client_is_keeps_no_broker_from_starting(
    monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    monkeypatch.setenv(f"SANDBOX_BROKER_{option}", "/of/a/client.pem")
    assert list(variables().unknown()) == []
