"""What the README shows works as shown."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path
from shutil import copytree

import pytest

from sandbox_runtime.client import Broker, CallRefused
from sandbox_runtime.manifests.argv import invocation
from sandbox_runtime.manifests.constraint import Constraint
from sandbox_runtime.manifests.loader import load_texts, load_tree
from sandbox_runtime.server.loading import parse
from sandbox_runtime.strict import Json
from tests.support.shipped import COMMAND, ROOT, serving

TEXT = (ROOT / "README.md").read_text()


def block(language: str, holding: str) -> str:
    """Return the README's one block in `language` that holds a text."""
    blocks = re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)
    (found,) = [one for one in blocks if holding in one]
    assert isinstance(found, str)
    return found


def run(*words: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - our own command
        [COMMAND, *map(str, words)], cwd=cwd, capture_output=True, text=True, check=False
    )


def test_the_tool_it_shows_builds_and_answers(tmp_path: Path) -> None:
    folder = tmp_path / "tool_manifests" / "word_count"
    folder.mkdir(parents=True)
    (folder / "tool.yaml").write_text(block("yaml", "word_count"))
    (folder / "main.py").write_text(block("python", "word_count/main.py"))
    built = run("tool", "build", cwd=tmp_path)
    assert built.returncode == 0, built.stderr
    shown = block("console", "tool try word_count")
    arguments = re.search(r"tool try word_count '(.*)'", shown)
    assert arguments is not None
    tried = run("tool", "try", "word_count", arguments[1], "--json", cwd=tmp_path)
    assert json.loads(tried.stdout)["result"]["result"] == "3", tried.stderr


COMMAND_TOOL = """\
apiVersion: sandbox-runtime/v1
kind: Tool
metadata: {{name: grep}}
spec:
  description: Find lines.
{program}
  arguments:
    ignore_case: {{type: boolean, default: false}}
    pattern: {{type: string}}
    files: {{type: array, items: {{type: string}}, path: {{}}}}
  workspace: read_only
  result: {{schema: {{type: string}}, model_text: {{}}}}
"""


def test_the_program_without_code_that_it_shows_is_told_its_words() -> None:
    text = COMMAND_TOOL.format(program=block("yaml", "transport: command").rstrip())
    program = load_texts({"grep/tool.yaml": text}).tools["grep"].manifest.spec.program
    arguments: dict[str, Json] = {"ignore_case": True, "pattern": "-x", "files": ["a.txt"]}
    words = ("/usr/bin/grep", "--ignore-case", "--regexp=-x", "--", "/workspace/a.txt")
    assert invocation(program, arguments).words == words


def test_the_task_it_shows_loads_beside_the_shipped_tools(tmp_path: Path) -> None:
    tree = copytree(ROOT / "tool_manifests", tmp_path / "tool_manifests")
    (tree / "tasks" / "monthly-delay-report.yaml").write_text(block("yaml", "kind: Task"))
    assert "monthly-delay-report" in load_tree(tree).tasks


def test_the_mistake_it_shows_is_told_in_these_words(tmp_path: Path) -> None:
    tree = copytree(ROOT / "tool_manifests", tmp_path / "tool_manifests")
    task = tree / "tasks" / "monthly-delay-report.yaml"
    task.write_text(task.read_text().replace("max_calls: 6", "max_cals: 6"))
    checked = run("manifest", "check", cwd=tmp_path)
    assert checked.returncode == 1
    assert checked.stderr.strip() in block("console", "manifest check")


def test_the_cases_it_shows_hold_and_cover_what_they_say(tmp_path: Path) -> None:
    copytree(ROOT / "tool_manifests", tmp_path / "tool_manifests")
    file = "tool_manifests/tasks/monthly-delay-report.test.yaml"
    shown = block("yaml", "kind: Test")
    assert shown.startswith(f"# {file}\n")
    (tmp_path / file).write_text(shown)
    held = run("manifest", "test", cwd=tmp_path)
    assert held.returncode == 0, held.stdout
    assert run("manifest", "test", "--cover", cwd=tmp_path).returncode == 1
    (tmp_path / file).write_text((ROOT / file).read_text())
    assert run("manifest", "test", "--cover", cwd=tmp_path).returncode == 0


def test_every_constraint_that_it_shows_is_one() -> None:
    words = re.findall(r"^\| ((?:`[a-z_]+`(?:, )?)+) \|", TEXT, re.MULTILINE)
    shown = {word for row in words for word in re.findall(r"`([a-z_]+)`", row)}
    assert shown == set(Constraint.model_fields)


def test_the_settings_it_shows_are_settings(tmp_path: Path) -> None:
    shown = block("yaml", "state_dir").replace("group: agents", "group: root")
    data = tmp_path / "flights.db"
    data.touch()
    settings = parse("broker.yaml", shown.replace("/srv/flights.db", str(data)))
    assert {uid: one.subject for uid, one in settings.callers().items()} == {990: "agent:reporting"}


def test_the_client_it_shows_gets_an_answer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    socket = "unix:/run/sandbox-broker/broker.sock"
    shown = block("python", "CallRefused")
    assert socket in shown
    with serving(tmp_path) as address:
        exec(shown.replace(socket, address), {})  # noqa: S102 - the README's own words
    answer = {"columns": ["month", "AVG(dep_delay)"], "rows": [[1, 4.0]]}
    assert capsys.readouterr().out == f"OK {answer}\n"


def test_the_questions_to_the_log_that_it_shows_are_answered(tmp_path: Path) -> None:
    shown = block("console", "log verify")
    with serving(tmp_path) as address, Broker.connect(address) as broker:
        with broker.open_task("monthly-delay-report", variables={"origin": "JFK"}) as task:
            with pytest.raises(CallRefused):
                task.call("sql_query", {"query": "DELETE FROM flights"}, call_id="delete")
            task.call("sql_query", {"query": "SELECT month FROM flights"})
        for line in shown.splitlines():
            words = shlex.split(line.replace("t-bd14fa581ba246ac", task.id), comments=True)[2:]
            asked = [word for word in words if word != "--follow"]  # it would never end
            ended = run(*asked, "--state", tmp_path / "state", cwd=tmp_path)
            assert (ended.returncode, ended.stderr) == (0, ""), line
            assert ended.stdout or "tail" in asked, line


def test_a_machine_is_looked_at_before_it_serves_as_it_shows(tmp_path: Path) -> None:
    shown = block("console", "doctor")
    with serving(tmp_path):
        for line in shown.splitlines()[:2]:
            ended = run(*shlex.split(line, comments=True)[2:], cwd=tmp_path)
            assert ended.returncode == 0, ended.stdout + ended.stderr


def test_the_identities_it_shows_are_issued_listed_and_revoked(tmp_path: Path) -> None:
    shown = block("console", "identity issue").splitlines()
    state = ("--state", tmp_path / "state", "--json")
    issued: dict[str, str] = {}
    for line in shown:
        words = shlex.split(line.removeprefix("$ sandbox-broker "))
        words = [issued["agent:batch"] if word.startswith("i-") else word for word in words]
        ended = run(*words, *state, cwd=tmp_path)
        assert ended.returncode == 0, ended.stderr
        told = json.loads(ended.stdout)
        if "subject" in told:
            issued[told["subject"]] = told["id"]
    assert told["is"] == "revoked"
    assert (tmp_path / "reporting" / "key.pem").exists()
