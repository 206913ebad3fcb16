"""What is a tool's image built from?

Law: equal inputs are equal bytes. Names are sorted; owners, times and every mode bit but
"executable" are left out; what could change without changing the tool is not taken in.
"""

from __future__ import annotations

import hashlib
import io
import stat
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox_runtime.errors import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

DOCKERFILE = "Dockerfile"
REQUIREMENTS = "requirements.txt"
PACKAGES = "site-packages"
PROGRAMS = "programs"
MANIFESTS = (".yaml", ".yml")

GENERATED = """\
ARG BASE
FROM ${{BASE}}
USER 0:0
COPY {packages}/ {target}/
COPY tool/ /tool/
RUN ["python3", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", \
"/tool", "{target}"]
USER {uid}:{gid}
ENTRYPOINT {entrypoint}
"""


FOREIGN = """\
ARG BASE
FROM ${{BASE}}
USER 0:0
COPY {programs}/ /
USER {uid}:{gid}
"""
"""Of a tool that is nothing but programs of the distribution."""


class ToolNotBuildable(Fault):
    """A tool's folder cannot be made into an image; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A file of the build context, or a link."""

    content: bytes
    executable: bool = False
    link: str | None = None


def collect(folder: Path) -> dict[str, Item]:
    """Return a tool's own files by their relative paths: no manifests, nothing hidden."""
    if not folder.is_dir():
        raise ToolNotBuildable(f"{folder} is no folder")
    return {str(path.relative_to(folder)): item(path) for path in wanted(folder)}


def wanted(folder: Path) -> Iterator[Path]:
    """Yield the files to take, in order."""
    for path in sorted(folder.rglob("*")):
        inner = path.relative_to(folder).parts
        if any(part.startswith(".") or part == "__pycache__" for part in inner):
            continue
        if path.suffix not in MANIFESTS and not path.is_dir():
            yield path


def item(path: Path) -> Item:
    """Read one file. Links could lead out of the folder, so they are refused."""
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode):
        raise ToolNotBuildable(f"{path} is not an ordinary file")
    return Item(content=path.read_bytes(), executable=bool(status.st_mode & stat.S_IXUSR))


def arranged(
    files: Mapping[str, Item],
    argv: Sequence[str],
    *,
    target: str,
    uid: int,
    gid: int,
    programs: bool = False,
) -> dict[str, Item]:
    """Return the context: the tool's Dockerfile beside its files, or ours above them."""
    if DOCKERFILE in files:
        return dict(files)
    if not files and programs:
        text = FOREIGN.format(programs=PROGRAMS, uid=uid, gid=gid)
        return {DOCKERFILE: Item(content=text.encode())}
    words = ", ".join(f'"{word}"' for word in argv)
    text = GENERATED.format(
        packages=PACKAGES, target=target, uid=uid, gid=gid, entrypoint=f"[{words}]"
    )
    if programs:
        text = text.replace("USER 0:0\n", f"USER 0:0\nCOPY {PROGRAMS}/ /\n", 1)
    moved = {f"tool/{name}": file for name, file in files.items() if name != REQUIREMENTS}
    return {DOCKERFILE: Item(content=text.encode()), **moved}


def digest(files: Mapping[str, Item], *also: str) -> str:
    """Return SHA-256, in hexadecimal, of files and further inputs. Lengths stand before."""
    state = hashlib.sha256()
    for name in sorted(files):
        mode = b"x" if files[name].executable else b"-"
        for part in (name.encode(), mode, files[name].content):
            state.update(len(part).to_bytes(8, "big") + part)
    for text in also:
        state.update(len(text.encode()).to_bytes(8, "big") + text.encode())
    return state.hexdigest()


def pack(files: Mapping[str, Item], packages: Path, programs: Mapping[str, Item]) -> io.BytesIO:
    """Return the context as tar.

    Resolved packages of Python lie below `site-packages/`, what the distribution brings below
    `programs/`.
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name in sorted(files):
            add(tar, name, files[name])
        tar.addfile(entry(PACKAGES, size=0, mode=0o755, kind=tarfile.DIRTYPE))
        for path in sorted(path for path in packages.rglob("*") if path.is_file()):
            add(tar, f"{PACKAGES}/{path.relative_to(packages)}", item(path))
        for name in sorted(programs):
            add(tar, f"{PROGRAMS}/{name}", programs[name])
    buffer.seek(0)
    return buffer


def add(tar: tarfile.TarFile, name: str, file: Item) -> None:
    """Write one file, or a link."""
    if file.link is not None:
        head = entry(name, size=0, mode=0o777, kind=tarfile.SYMTYPE)
        head.linkname = file.link
        tar.addfile(head)
        return
    mode = 0o755 if file.executable else 0o644
    tar.addfile(entry(name, size=len(file.content), mode=mode), io.BytesIO(file.content))


def entry(name: str, *, size: int, mode: int, kind: bytes = tarfile.REGTYPE) -> tarfile.TarInfo:
    """Return a head that says nothing of this machine."""
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.type = size, mode, kind
    return info
