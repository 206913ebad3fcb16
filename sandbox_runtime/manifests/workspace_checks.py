"""Do a task and the tools that it grants agree about its workspace?

Law: a tool that works on files gets the task's or is not granted; and what is set aside has
somebody to use it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox_runtime.destinations.file.types import MEDIA_TYPES, named
from sandbox_runtime.manifests.problems import Finding, Where, quoted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sandbox_runtime.manifests.model import TaskSpec, Tool, Workspace

_WORKSPACE: Where = ("spec", "workspace")


def workspace(spec: TaskSpec, tools: Mapping[str, Tool]) -> Iterator[Finding]:
    """Yield what is wrong with a task's workspace; `tools` are those that hold by themselves."""
    if spec.workspace is None:
        yield from _missing(spec, tools)
        return
    yield from _idle(spec, tools)
    yield from _kept(spec.workspace)
    yield from _leaving(spec.workspace)
    yield from _unused(spec.workspace)


def _missing(spec: TaskSpec, tools: Mapping[str, Tool]) -> Iterator[Finding]:
    for index, grant in enumerate(spec.grants):
        if grant.tool in tools and tools[grant.tool].spec.always_mounts:
            yield Finding(
                where=("spec", "grants", index, "tool"),
                message=f"tool {quoted(grant.tool)} works on the task's files, "
                "and this task has no `workspace`",
                mend="add `workspace: {size: 64Mi}` to the task's `spec`",
            )


def _idle(spec: TaskSpec, tools: Mapping[str, Tool]) -> Iterator[Finding]:
    granted = {grant.tool for grant in spec.grants}
    if granted <= tools.keys() and not any(_works_on_files(name, tools) for name in granted):
        yield Finding(
            where=_WORKSPACE,
            message="none of the granted tools mounts the workspace",
            mend="remove it, or grant a tool whose manifest says `workspace: read_only` "
            "or `read_write`",
            on_key=True,
        )


def _kept(asked: Workspace) -> Iterator[Finding]:
    if "retain" in asked.model_fields_set and not asked.keep:
        yield Finding(
            where=(*_WORKSPACE, "retain"),
            message="`retain` means nothing without `keep`: no file outlives the task",
            mend='say which do, as in `keep: ["*.csv"]`, or remove it',
            on_key=True,
        )


def _leaving(asked: Workspace) -> Iterator[Finding]:
    """Yield patterns whose files could never leave."""
    for index, glob in enumerate(asked.keep):
        claimed, says_type = named(glob), "." in glob.rpartition("/")[2]
        if (claimed is None and (says_type or asked.types is None)) or (
            claimed is not None and claimed not in asked.leaving
        ):
            yield Finding(
                where=(*_WORKSPACE, "keep", index),
                message=f"no file that {quoted(glob)} is for may leave: its type is not allowed",
                mend="name files of one of these types, and the type under `types` if that is "
                f"there: {', '.join(MEDIA_TYPES)}",
            )


def _unused(asked: Workspace) -> Iterator[Finding]:
    """Yield settings of documents that never leave."""
    for key, media_type, said in (
        ("html", "text/html", asked.html),
        ("csv", "text/csv", asked.csv),
    ):
        if said is not None and media_type not in asked.leaving:
            yield Finding(
                where=(*_WORKSPACE, key),
                message=f"`{key}` means nothing: no file of type {media_type} may leave",
                mend=f"add `{media_type}` to `types`, or remove it",
                on_key=True,
            )


def _works_on_files(tool: str, tools: Mapping[str, Tool]) -> bool:
    return tool in tools and tools[tool].spec.workspace is not None
