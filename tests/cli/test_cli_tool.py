"""`tool` against the real engine."""

from __future__ import annotations

import json
import shlex
import shutil
from typing import TYPE_CHECKING

import docker

from tests.support.commands import Place, document, run

if TYPE_CHECKING:
    from pathlib import Path


def text(value: str) -> str:
    return json.dumps({"text": value})


def test_tools_are_listed_with_their_images(place: Place) -> None:
    ended = run("tool", "list", "--manifests", place.manifests)
    assert ended.returncode == 0
    head, row = ended.stdout.splitlines()
    assert head.split() == ["tool", "version", "image", "state", "arguments"]
    name, version, image, state, arguments = row.split(maxsplit=4)
    assert (name, version, state, arguments) == ("small", "1.0.0", "built", "text, by")
    _, said = document("tool", "list", "--manifests", place.manifests)
    (tool,) = said["tools"]
    assert tool["image"].startswith(image)


def test_tools_are_listed_also_where_nothing_is_built(place: Place, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    shutil.copytree(place.manifests, tree)
    lock = json.loads((tree / "images.lock.json").read_text())
    lock["tools"]["small"]["image"] = f"sha256:{'0' * 64}"
    (tree / "images.lock.json").write_text(json.dumps(lock))
    assert document("tool", "list", "--manifests", tree)[1]["tools"][0]["state"] == "missing"
    (tree / "images.lock.json").unlink()
    code, said = document("tool", "list", "--manifests", tree)
    assert (code, said["tools"][0]["state"], said["tools"][0]["image"]) == (0, "not built", None)


def test_an_engine_that_is_away_is_said_to_be(place: Place, tmp_path: Path) -> None:
    away = {"DOCKER_HOST": f"unix://{tmp_path}/none.sock"}
    listed = run("tool", "list", "--manifests", place.manifests, env=away)
    assert (listed.returncode, "no engine answers" in listed.stdout) == (0, True)
    built = run("tool", "build", "--manifests", place.manifests, env=away)
    assert built.returncode == 3
    assert built.stderr == (
        "error: the engine does not answer\n"
        "mend: see that the engine runs and that you may use it: `docker info`\n"
    )


def test_building_what_is_built_changes_nothing(place: Place) -> None:
    before = (place.manifests / "images.lock.json").read_bytes()
    ended = run("tool", "build", "--manifests", place.manifests)
    assert (ended.returncode, ended.stderr) == (0, "small: up to date\n")
    assert (place.manifests / "images.lock.json").read_bytes() == before
    code, said = document("tool", "build", "--manifests", place.manifests)
    assert (code, said) == (0, json.loads(before))


def test_a_base_that_the_engine_has_not_is_the_user_s_to_mend(place: Place) -> None:
    ended = run("tool", "build", "--manifests", place.manifests, "--base", "no-such-image:1")
    assert ended.returncode == 1
    assert ended.stderr == (
        "error: the engine has no image `no-such-image:1`\n"
        "mend: look into the tool's folder, and at `--base`\n"
    )


def test_a_tool_is_tried_without_a_broker(place: Place) -> None:
    ended = run("tool", "try", "small", text("hello"), "--manifests", place.manifests)
    assert ended.returncode == 0
    assert ended.stdout.splitlines()[1:] == ["result", '  "hello"', "log", "  was sent hello"]
    code, said = document("tool", "try", "small", text("fail"), "--manifests", place.manifests)
    assert (code, said["result"]["outcome"], said["log"]) == (1, "TOOL_ERROR", "was sent fail\n")


def test_what_a_tried_tool_writes_cannot_pass_for_our_own_words(place: Place) -> None:
    forged = text("\x1b[2K\nresult\n  forged\u202e")
    ended = run("tool", "try", "small", forged, "--manifests", place.manifests)
    assert ended.returncode == 0
    assert "\x1b" not in ended.stdout
    assert "\u202e" not in ended.stdout
    ours = [line for line in ended.stdout.splitlines() if not line.startswith("  ")]
    assert [line.split()[0] for line in ours] == ["OK", "result", "log"]


def test_what_cannot_be_tried_says_how_it_could(place: Place, tmp_path: Path) -> None:
    tree = ("--manifests", place.manifests)
    code, said = document("tool", "try", "smaller", "{}", *tree)
    assert (code, said["error"]) == (2, "there is no tool `smaller`")
    code, said = document("tool", "try", "small", '{"text": 1}', *tree)
    assert (code, said["error"]) == (1, "the arguments at `/text`: is not of type string")
    assert said["mend"].endswith("/manifests/small/tool.yaml says what each argument may be")
    code, said = document("tool", "try", "small", text("x"), *tree, "--data", "d=/none")
    assert (code, said["mend"]) == (2, "write `--data NAME=PATH`")
    bare = tmp_path / "tree"
    shutil.copytree(place.manifests, bare, ignore=shutil.ignore_patterns("*.json"))
    code, said = document("tool", "try", "small", text("x"), "--manifests", bare)
    assert code == 3
    assert said["error"].endswith("run `sandbox-broker tool build`")


def test_a_begun_tool_builds_holds_its_cases_and_answers_without_an_edit(tmp_path: Path) -> None:
    begun = run("tool", "init", "begun-test", "--json", cwd=tmp_path)
    assert begun.returncode == 0, begun.stderr
    for line in json.loads(begun.stdout)["next"]:
        ended = run(*shlex.split(line)[1:], cwd=tmp_path)
        assert ended.returncode == 0, (line, ended.stderr, ended.stdout)
    covered = run("manifest", "test", "--cover", cwd=tmp_path)
    assert covered.returncode == 0, covered.stdout
    assert run("tool", "init", "begun-test", cwd=tmp_path).returncode == 1
    client = docker.DockerClient.from_env()
    client.images.remove("sandbox-broker/begun-test:local", force=True)
    client.close()


def test_a_tool_is_carried_by_two_commands(tmp_path: Path) -> None:
    tree, file = tmp_path / "tool_manifests", tmp_path / "tools.tar"
    run("tool", "init", "carried-test-2", cwd=tmp_path)
    run("tool", "build", cwd=tmp_path)
    saved = run("tool", "save", str(file), "--json", cwd=tmp_path)
    assert saved.returncode == 0, saved.stderr
    (tree / "images.lock.json").unlink()
    loaded = run("tool", "load", str(file), "--digest", "sha256:0", cwd=tmp_path)
    assert loaded.returncode != 0
    assert not (tree / "images.lock.json").exists()
    digest = json.loads(saved.stdout)["digest"]
    loaded = run("tool", "load", str(file), "--digest", digest, "--json", cwd=tmp_path)
    assert loaded.returncode == 0, loaded.stderr
    assert json.loads(loaded.stdout)["lacking"] == []
    client = docker.DockerClient.from_env()
    client.images.remove("sandbox-broker/carried-test-2:local", force=True)
    client.close()
