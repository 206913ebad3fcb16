"""What is in the base image, to the byte?

Law: the tree is a function of the packages alone. It holds Python, the libraries under
it, and nothing that runs besides: no shell, no package manager, no set-user-id bit. The
same packages give the same archive.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from provision.commands import Commands, Word
from provision.problem import Problem

UID = 10000
"""The user that tools run as. No user of a usual machine has this number."""

NOT_NEEDED = frozenset(
    # Needed to install packages, of which there is none in the image.
    {"debconf", "dpkg", "mawk", "openssl", "perl-base", "readline-common", "tar"}
)
PROGRAMS = frozenset({"python3", "python3.11", "python3.12", "python3.13"})
"""All that may stand in `usr/bin`."""
LEFT_OUT = (
    "usr/share/bash-completion",
    "usr/share/bug",
    "usr/share/info",
    "usr/share/lintian",
    "usr/share/locale",
    "usr/share/man",
    "usr/share/pixmaps",
    "usr/share/applications",
    "usr/sbin",
    "etc/cron.daily",
    "etc/init.d",
    "etc/update-motd.d",
    "var",
)
MERGED = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
"""Directories that are links into `usr`, as on an installed system."""
FILES = {
    "etc/passwd": (
        "root:x:0:0:root:/root:/usr/sbin/nologin\n"
        f"sandbox:x:{UID}:{UID}:sandbox:/:/usr/sbin/nologin\n"
        "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
    ),
    "etc/group": f"root:x:0:\nsandbox:x:{UID}:\nnogroup:x:65534:\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
}
LINKS = {
    "usr/lib/ssl/cert.pem": "/etc/ssl/certs/ca-certificates.crt",
    "usr/lib/ssl/certs": "/etc/ssl/certs",
}
"""Where the distribution's OpenSSL looks for its certificates."""
DIRECTORIES = ("dev", "proc", "sys", "run", "tmp", "var/tmp")
CERTIFICATES = "usr/share/ca-certificates"
BUNDLE = "etc/ssl/certs/ca-certificates.crt"


def unpack(debs: Sequence[Path], tree: Path) -> int:
    """Lay the packages' files out in `tree`, without what the image leaves out.

    Return the time of the newest, in seconds since 1970: the image is as old as that.
    """
    shutil.rmtree(tree, ignore_errors=True)
    for name in MERGED:
        (tree / "usr" / name).mkdir(parents=True, exist_ok=True)
        (tree / name).symlink_to(f"usr/{name}")
    needed = (deb for deb in debs if deb.name.partition("_")[0] not in NOT_NEEDED)
    epoch = max(_unpack_one(deb, tree) for deb in needed)
    _write_own_files(tree)
    return epoch


def _unpack_one(deb: Path, tree: Path) -> int:
    newest = 0
    command = ["dpkg-deb", "--fsys-tarfile", str(deb)]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE) as child,  # noqa: S603 - no shell
        tarfile.open(fileobj=child.stdout, mode="r|") as package,
    ):
        for member in package:
            if path := wanted(member.name):
                _place(package, member, tree / path, tree)
                newest = max(newest, int(member.mtime))
    if child.returncode:
        raise Problem(f"`{deb.name}` cannot be unpacked", f"remove {deb.parent}, run this again")
    return newest


def wanted(name: str) -> PurePosixPath | None:
    """Return where a package's file belongs in the image, or nothing if it is left out."""
    path = PurePosixPath(name)
    if path.parts and path.parts[0] in MERGED:
        path = PurePosixPath("usr") / path
    if path.parts[:3] == ("usr", "share", "doc") and path.name != "copyright":
        return None
    if path.parts[:2] == ("usr", "bin") and path.name not in PROGRAMS:
        return None
    if path.name == "sitecustomize.py" or any(path.is_relative_to(left) for left in LEFT_OUT):
        return None
    return path if path.parts else None


def _place(package: tarfile.TarFile, member: tarfile.TarInfo, target: Path, tree: Path) -> None:
    """Write one file of a package. Owner, time and special bits are not taken over."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.parent.resolve().is_relative_to(tree.resolve()):
        raise Problem(f"a package writes `{target}` outside the image", "give BASE=<image@digest>")
    if member.isdir():
        target.mkdir(exist_ok=True)
    elif member.issym():
        target.symlink_to(member.linkname)
    elif member.islnk():
        shutil.copy(tree / (wanted(member.linkname) or member.linkname), target)
    elif content := package.extractfile(member):
        target.write_bytes(content.read())
        target.chmod(0o755 if member.mode & stat.S_IXUSR else 0o644)


def _write_own_files(tree: Path) -> None:
    for name in DIRECTORIES:
        (tree / name).mkdir(parents=True, exist_ok=True)
    for name, text in FILES.items():
        (tree / name).write_text(text)
    for name, target in LINKS.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).symlink_to(target)
    certificates = sorted((tree / CERTIFICATES).rglob("*.crt"))
    bundle = tree / BUNDLE
    bundle.parent.mkdir(parents=True, exist_ok=True)
    bundle.write_bytes(b"".join(one.read_bytes() for one in certificates))


def compile_library(tree: Path, commands: Commands) -> None:
    """Compile the standard library with the image's own Python, never to be rechecked.

    A read-only container cannot keep what it compiles, so each call would do it again.
    """
    loader = next(iter(sorted((tree / "usr").glob("lib*/ld-linux*.so.*"))), None)
    python = next(iter(sorted((tree / "usr/bin").glob("python3.*"))), None)
    if loader is None or python is None:
        raise Problem("the packages hold no Python that runs here", "give BASE=<image@digest>")
    libraries = ":".join(str(path) for path in sorted((tree / "usr/lib").glob("*-linux-gnu*")))
    interpreter: list[Word] = [loader, "--library-path", libraries, python, "-I", "-S", "-B"]
    options: list[Word] = ["-q", "-f", "--invalidation-mode", "unchecked-hash"]
    paths: list[Word] = ["-s", tree, "-p", "/", tree / "usr/lib" / python.name]
    commands.run(
        [*interpreter, "-m", "compileall", *options, *paths],
        mend="give BASE=<image@digest>",
        PYTHONHOME=str(tree / "usr"),
    )


def pack(tree: Path, layer: Path, epoch: int) -> None:
    """Write `tree` as one layer: sorted, owned by root, and all of it as old as `epoch`."""
    paths = sorted(_walk(tree), key=lambda path: path.relative_to(tree).as_posix())
    with tarfile.open(layer, "w", format=tarfile.GNU_FORMAT) as archive:
        for path in paths:
            _add(archive, path, path.relative_to(tree).as_posix(), epoch)


def clear(tree: Path, *files: Path) -> None:
    """Remove what was only needed while building."""
    shutil.rmtree(tree)
    for file in files:
        file.unlink()


def _walk(tree: Path) -> Iterator[Path]:
    for directory, names, files in os.walk(tree):
        yield from (Path(directory) / name for name in (*names, *files))


def _add(archive: tarfile.TarFile, path: Path, name: str, epoch: int) -> None:
    member = archive.gettarinfo(path, name)
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mtime = epoch
    member.mode = 0o1777 if name in {"tmp", "var/tmp"} else _mode(member)
    if member.isreg():
        with path.open("rb") as content:
            archive.addfile(member, content)
    else:
        archive.addfile(member)


def _mode(member: tarfile.TarInfo) -> int:
    if member.issym():
        return 0o777
    return 0o755 if member.isdir() or member.mode & stat.S_IXUSR else 0o644
