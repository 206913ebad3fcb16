"""Do these manifests load, all of them together?

Law: a tree loads whole or not at all, and what keeps it from loading is told completely:
every problem of every file, each at its place. Texts go in and a catalogue comes out;
only `load_tree` touches files.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, TypeVar

from pydantic import ValidationError

from sandbox_runtime.manifests import tree
from sandbox_runtime.manifests.catalogue import Catalogue, LoadedTask, LoadedTool, digest_of
from sandbox_runtime.manifests.explain import explain, nulls
from sandbox_runtime.manifests.model import Task, Tool
from sandbox_runtime.manifests.problems import (
    Finding,
    ManifestErrors,
    Problem,
    did_you_mean,
    listed,
    quoted,
    shown,
)
from sandbox_runtime.manifests.schema import KINDS
from sandbox_runtime.manifests.source import Document, read
from sandbox_runtime.manifests.task_checks import Known, check_task
from sandbox_runtime.manifests.tool_checks import check_tool
from sandbox_runtime.strict import Json, Strict

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

L = TypeVar("L", LoadedTool, LoadedTask)
M = TypeVar("M", bound=Strict)


def load_texts(files: Mapping[str, str]) -> Catalogue:
    """Return the catalogue of these texts, keyed by the file names that problems show.

    Raises `ManifestErrors` with all their problems.
    """
    return _assembled(files).catalogue()


def load_tree(directory: Path, *, shown: Path | None = None) -> Catalogue:
    """Return the catalogue of `*/tool.yaml` and `tasks/*.yaml` below a directory.

    Files are shown below `shown`, as somebody typed it; or else below the directory's own name,
    wherever it lies: so a log names no place of its machine. Raises `ManifestErrors`.
    """
    found = tree.collect(directory, shown)
    draft = _assembled(found.texts)
    draft.problems.extend(found.problems)
    for tool in draft.tools.values():
        folder = PurePosixPath(tool.file).parent / tool.manifest.spec.program.image.build
        where = ("spec", "program", "image", "build")
        problem = tree.folder_problem(directory, folder, shown)
        draft.note(tool.file, tool.document, [Finding(where=where, message=m) for m in problem])
    return draft.catalogue()


@dataclass(slots=True, kw_only=True)
class _Draft:
    """What has been read so far, and all that is wrong with it."""

    sources: Mapping[str, str]
    tools: dict[str, LoadedTool] = field(default_factory=dict)
    tasks: dict[str, LoadedTask] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    """Names of tools that are there and do not hold."""
    problems: list[Problem] = field(default_factory=list)

    def catalogue(self) -> Catalogue:
        if self.problems:
            raise ManifestErrors(self.problems)
        return Catalogue.of(self.tools, self.tasks, self.sources)

    def note(self, file: str, document: Document, findings: Iterable[Finding]) -> bool:
        """Keep the findings as problems of a file; return whether there were any."""
        found = [problem_of(file, document, finding) for finding in findings]
        self.problems.extend(found)
        return bool(found)

    def add(self, loaded: L, among: dict[str, L]) -> None:
        """Keep a manifest under its name, unless the name is taken."""
        name = loaded.manifest.metadata.name
        first = among.setdefault(name, loaded)
        if first is not loaded:
            taken = f"{loaded.manifest.kind.lower()} {quoted(name)} is already defined"
            where = ("metadata", "name")
            message = f"{taken} at {first.place(where)}"
            self.note(loaded.file, loaded.document, [Finding(where=where, message=message)])


def _assembled(files: Mapping[str, str]) -> _Draft:
    draft = _Draft(sources=dict(files))
    for file, text in sorted(files.items()):
        _read(file, text, draft)
    known = Known(tools={n: t.manifest for n, t in draft.tools.items()}, broken=draft.broken)
    for task in draft.tasks.values():
        draft.note(task.file, task.document, check_task(task.manifest, task.document.data, known))
    return draft


def _read(file: str, text: str, draft: _Draft) -> None:
    content = read(file, text)
    draft.problems.extend(content.problems)
    for document in content.documents:
        if content.problems:
            draft.broken.update(_names(document))
        else:
            _document(file, document, draft)


def _document(file: str, document: Document, draft: _Draft) -> None:
    manifest = _parsed(file, document, draft)
    match manifest:
        case Tool():
            if draft.note(file, document, check_tool(manifest, document.data)):
                draft.broken.add(manifest.metadata.name)
                return
            tool = LoadedTool(
                file=file, document=document, manifest=manifest, digest=digest_of(manifest)
            )
            draft.add(tool, draft.tools)
        case Task():
            task = LoadedTask(
                file=file, document=document, manifest=manifest, digest=digest_of(manifest)
            )
            draft.add(task, draft.tasks)
        case None:
            draft.broken.update(_names(document))


def _parsed(file: str, document: Document, draft: _Draft) -> Tool | Task | None:
    model = _kind(document.data)
    if isinstance(model, Finding):
        draft.note(file, document, [model])
        return None
    manifest = validated(document, model)
    if isinstance(manifest, list):
        draft.note(file, document, manifest)
        return None
    return manifest


def validated(document: Document, model: type[M]) -> M | list[Finding]:
    """Return what a document says as `model` reads it, or all that keeps it from that."""
    try:
        read = model.model_validate_json(json.dumps(document.data))
    except ValidationError as error:
        return list(explain(error, document.data, model))
    return list(nulls(read)) or read


def _kind(data: Json) -> type[Tool | Task] | Finding:
    if not isinstance(data, dict):
        message = f"expected a mapping, found {shown(data)}"
        return Finding(where=(), message=message, expected="a mapping")
    if "kind" not in data:
        return Finding(where=(), message="missing key `kind`", expected=listed(KINDS))
    kind = data["kind"]
    if isinstance(kind, str) and kind in KINDS:
        return KINDS[kind]
    return Finding(
        where=("kind",),
        message=f"expected {listed(KINDS)}, found {shown(kind)}",
        expected=listed(KINDS),
        mend=did_you_mean(kind, list(KINDS)) if isinstance(kind, str) else "",
    )


def _names(document: Document) -> Iterator[str]:
    """Yield the name that a manifest would have, were it sound."""
    data = document.data
    metadata = data.get("metadata") if isinstance(data, dict) else None
    name = metadata.get("name") if isinstance(metadata, dict) else None
    if isinstance(name, str):
        yield name


def problem_of(file: str, document: Document, finding: Finding) -> Problem:
    """Return a finding as the problem of a file, at its place."""
    locate = document.key_at if finding.on_key else document.value_at
    position = locate(finding.where)
    return Problem(
        file=file,
        line=position.line,
        column=position.column,
        message=finding.message,
        expected=finding.expected,
        mend=finding.mend,
    )
