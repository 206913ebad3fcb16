"""An editor that speaks to yaml-language-server completes, explains and corrects manifests.

The server is the real one, as editors run it; `make test` installs it.
"""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from sandbox_runtime.cli.manifest_schema import write_schemas
from sandbox_runtime.manifests.loader import load_texts
from sandbox_runtime.manifests.problems import ManifestErrors
from sandbox_runtime.manifests.scaffold import task_files, tool_files
from tests.support.language_server import CARET, Editor, editor
from tests.support.manifests import SOURCES, TASK, TOOL

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.asyncio(loop_scope="module")

CHECKOUT = Path(__file__).parents[2]
BUILT = CHECKOUT / "build" / "editor"
SERVER = BUILT / "node_modules" / "yaml-language-server" / "bin" / "yaml-language-server"
SETTINGS = {"yaml": {"schemaStore": {"enable": False}}}
"""Nothing is fetched: what the editor knows comes from the file's first line alone."""


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree of manifests with its schemas."""
    directory = tmp_path_factory.mktemp("tree")
    write_schemas(directory)
    return directory


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def here(tree: Path) -> AsyncIterator[Editor]:
    """An editor with the server at its side."""
    assert SERVER.exists(), "the language server is missing: `make test` installs it"
    command = [str(BUILT / "node"), str(SERVER), "--stdio"]
    async with editor(command, tree, SETTINGS) as one:
        yield one


@pytest.fixture
def file(tree: Path) -> Path:
    """A file that is not open yet."""
    return tree / "open" / f"{next(_NUMBERS)}.yaml"


_NUMBERS = count()
_TEXTS = {"task": TASK, "tool": TOOL}


def of(kind: str, text: str) -> str:
    """Return a manifest with the first line that `manifest init` writes."""
    return f"# yaml-language-server: $schema=../.schema/{kind}.json\n{text}"


def kind_of(path: Path) -> str:
    if path.name.endswith(".test.yaml"):
        return "test"
    return "task" if path.parent.name == "tasks" else "tool"


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


SHIPPED = sorted(CHECKOUT.glob("tool_manifests/*/*.yaml"))


@pytest.mark.parametrize("shipped", SHIPPED, ids=lambda path: f"{path.parent.name}/{path.name}")
async def test_nothing_is_underlined_in_what_ships(here: Editor, file: Path, shipped: Path) -> None:
    assert await here.flagged(file, of(kind_of(shipped), _read(shipped))) == []


async def test_a_first_manifest_brings_its_editor_along(here: Editor, tree: Path) -> None:
    tool = tool_files("hello")["hello/tool.yaml"]
    granted = load_texts({"tool.yaml": tool}).tools["hello"].manifest
    for name, text in {"hello/tool.yaml": tool, **task_files("daily", granted, "uid:0")}.items():
        assert await here.flagged(tree / name, text) == []
        (wrong,) = await here.flagged(tree / f"{name}.yaml", f"{text}\nnonsense: 1\n")
        assert wrong.text == "nonsense"


WRONG = {
    "a misspelt key": (("max_calls: 2", "max_cals: 2"), "max_cals", "max_cals is not allowed"),
    "a misspelt constraint": (("exact: $friend", "exactt: x"), "exactt", "exactt is not allowed"),
    "a misspelt destination": (("times: {range", "times: {sqll"), "sqll", "sqll is not allowed"),
    "a wrong type": (("max_calls: 2", "max_calls: two"), "two", 'Expected "integer"'),
    "too little": (("max_calls: 2", "max_calls: 0"), "0", "below the minimum of 1"),
    "a missing key": (("      why: to be polite\n", ""), "i", 'Missing property "why"'),
    "another kind": (("kind: Task", "kind: Tusk"), "Tusk", 'must be "Task"'),
    "a misspelt choice": (("type: string", "type: text"), "text", 'Valid values: "string"'),
    "a length of time without its unit": (
        ("wall_time: 10s", "wall_time: '10'"),
        "'10'",
        "expected a duration like `250ms`",
    ),
    "a name that is none": (("id: friends", "id: Friends"), "Friends", "lower-case letters"),
    "a subject that is none": (
        ('"agent:tests"', '"tests"'),
        '"tests"',
        "expected a subject like `agent:reporting`",
    ),
}


@pytest.mark.parametrize(("change", "underlined", "said"), WRONG.values(), ids=WRONG)
async def test_a_mistake_is_underlined_where_the_loader_finds_it(
    here: Editor, file: Path, change: tuple[str, str], underlined: str, said: str
) -> None:
    text = of("task", TASK.replace(*change, 1))
    (found,) = await here.flagged(file, text)
    assert found.text == underlined
    assert said in found.message
    with pytest.raises(ManifestErrors) as caught:
        load_texts({**SOURCES, "tasks/greeting.yaml": text})
    assert caught.value.problems[0].line == found.line + 1


OFFERED = {
    "keys of a grant": (
        "task",
        ("      max_calls: 2\n", f"      max_calls: 2\n      {CARET}\n"),
        {"after", "rate"},
    ),
    "constraints and destinations": (
        "task",
        ("{range: {max: 3}}", f"\n          {CARET}"),
        {
            "all_of",
            "any_of",
            "each",
            "exact",
            "length",
            "model_text",
            "not_one_of",
            "one_of",
            "range",
            "regex",
            "schema",
            "sql",
        },
    ),
    "keys of a task": ("task", ("  variables:", f"  {CARET}\n  variables:"), {"lifetime"}),
    "what a variable may be": (
        "task",
        ('{type: string, regex: "[A-Z][a-z]+"}', f"\n      {CARET}"),
        {"claim", "enum", "format", "minimum", "regex", "source", "type", "value"},
    ),
    "formats": (
        "task",
        ('{type: string, regex: "[A-Z][a-z]+"}', f"\n      format: {CARET}"),
        {"date", "date-time", "email", "hostname", "uri", "uuid"},
    ),
    "sources": (
        "task",
        ('{type: string, regex: "[A-Z][a-z]+"}', f"\n      source: {CARET}"),
        {"identity_claim", "opener"},
    ),
    "roles": ("tool", ("role: control, max", f"role: {CARET}, max"), {"content", "control"}),
    "labels": (
        "tool",
        (
            "  result: {schema: {type: object}, model_text: {}}",
            f"  result:\n    labels:\n      confidentiality: {CARET}",
        ),
        {"confidential", "internal", "public", "restricted"},
    ),
    "keys of a tool": (
        "tool",
        ("  result:", f"  {CARET}\n  result:"),
        {"data", "program", "sandbox"},
    ),
}


@pytest.mark.parametrize(("kind", "change", "wanted"), OFFERED.values(), ids=OFFERED)
async def test_what_may_stand_there_is_offered_and_told(
    here: Editor, file: Path, kind: str, change: tuple[str, str], wanted: set[str]
) -> None:
    text = _TEXTS[kind].replace(*change, 1)
    assert CARET in text
    offered = await here.completions(file, of(kind, text))
    assert wanted <= offered.keys()
    assert all(offered[word] for word in wanted), offered


TOLD = {
    "a grant's key": ("task", ("max_calls: 2", f"max{CARET}_calls: 2"), "may be started under it"),
    "a constraint": ("task", ("exact: $", f"ex{CARET}act: $"), "Exactly this value"),
    "a budget": ("task", ("refusals: 5", f"refu{CARET}sals: 5"), "After so many refused calls"),
    "a word of a choice": (
        "tool",
        ("role: control", f"role: con{CARET}trol"),
        "every grant has to",
    ),
}


@pytest.mark.parametrize(("kind", "change", "said"), TOLD.values(), ids=TOLD)
async def test_a_word_is_explained_under_the_pointer(
    here: Editor, file: Path, kind: str, change: tuple[str, str], said: str
) -> None:
    text = _TEXTS[kind].replace(*change, 1)
    assert CARET in text
    told = await here.hover(file, of(kind, text))
    assert said in told.replace("\\", "")
