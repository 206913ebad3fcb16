"""Which files below a directory are manifests, and what is in them?

Law: a manifest is a regular file at its own place. Symbolic links are refused, names that
look like a mistake are told, and nothing outside the directory is opened.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from sandbox_runtime.manifests.problems import Problem, listed, quoted
from sandbox_runtime.manifests.source import MOST_CHARACTERS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_PLACES = ("*/tool.yaml", "tasks/*.yaml")
_MISSPELT = ("*/tool.yml", "tasks/*.yml")
_CASES = ("*/*.test.yaml",)
_MISSPELT_CASES = ("*/*.test.yml",)
_TESTS = (".test.yaml", ".test.yml")
_MOST_BYTES = 4 * MOST_CHARACTERS
"""UTF-8 needs at most four bytes for a character."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The texts of a tree by their shown names, and what could not be read."""

    texts: Mapping[str, str]
    problems: tuple[Problem, ...]


class _Unread(Exception):  # noqa: N818 - becomes a problem of one file
    """A file cannot be taken in."""


def collect(directory: Path, shown: Path | None = None) -> Found:
    """Read the manifests below a directory, each shown below `shown` or the directory's name."""
    places = _paths(directory, (*_PLACES, *_MISSPELT))
    paths = [path for path in places if not path.name.endswith(_TESTS)]
    return _read(directory, shown, paths, (_PLACES, "manifests"))


def collect_cases(directory: Path, shown: Path | None = None) -> Found:
    """Read the cases that stand beside a directory's manifests, shown as those are."""
    paths = _paths(directory, (*_CASES, *_MISSPELT_CASES))
    return _read(directory, shown, paths, (_CASES, "cases"))


def _read(
    directory: Path, shown: Path | None, paths: Iterable[Path], wanted: tuple[Iterable[str], str]
) -> Found:
    root, (places, what) = _root(directory, shown), wanted
    texts: dict[str, str] = {}
    problems: list[Problem] = []
    for path in paths:
        name = _shown(root / path.relative_to(directory).as_posix())
        try:
            texts[name] = _text(path)
        except _Unread as error:
            problems.append(_problem(name, str(error)))
    if not texts and not problems:
        problems.append(_problem(str(root), f"no {what}: none at {listed(places)}"))
    return Found(texts=texts, problems=tuple(problems))


def _root(directory: Path, shown: Path | None) -> PurePosixPath:
    return PurePosixPath(directory.resolve().name if shown is None else shown.as_posix())


def folder_problem(
    directory: Path, folder: PurePosixPath, shown: Path | None = None
) -> Iterator[str]:
    """Yield what is wrong with a shown folder that a manifest names, if anything is."""
    path = directory
    for part in folder.relative_to(_root(directory, shown)).parts:
        path = path / part
        if path.is_symlink():
            yield f"{quoted(str(folder))} leads through a symbolic link"
            return
    if not path.is_dir():
        yield f"no folder {quoted(str(folder))}"


def _paths(directory: Path, places: Iterable[str]) -> list[Path]:
    return sorted(path for place in places for path in directory.glob(place))


def _shown(path: PurePosixPath) -> str:
    """Return the path as text that can be written anywhere."""
    return str(path).encode(errors="backslashreplace").decode()


def _text(path: Path) -> str:
    if _shown(PurePosixPath(path)) != str(path):
        problem = "its name is not UTF-8; rename it"
        raise _Unread(problem)
    if path.suffix == ".yml":
        problem = "manifests end in `.yaml`; rename it"
        raise _Unread(problem)
    if path.is_symlink() or path.parent.is_symlink():
        problem = "a symbolic link; put the file itself here"
        raise _Unread(problem)
    try:
        return _decoded(path)
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
        raise _Unread(problem) from error


def _decoded(path: Path) -> str:
    if not path.is_file():
        problem = "not a regular file"
        raise _Unread(problem)
    with path.open("rb") as file:
        content = file.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        problem = f"longer than {_MOST_BYTES} bytes"
        raise _Unread(problem)
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        problem = f"not UTF-8 on line {line}"
        raise _Unread(problem) from error


def _problem(file: str, message: str) -> Problem:
    return Problem(file=file, line=1, column=1, message=message)
