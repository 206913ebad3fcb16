"""Which programs of the base's distribution does a tool need, and how do they reach its image?

Law: the host fetches packages, the distribution's archive signs them and apt checks it, and
the build has no network. Nothing of a package runs, no file of the base is replaced, and of
what the named ones depend on come libraries and no programs.
"""

from __future__ import annotations

import shutil
import stat
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from sandbox_runtime.sandbox.context import Item, ToolNotBuildable
from sandbox_runtime.sandbox.packages import last_words

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

ORIGINS = {"debian": "Debian", "ubuntu": "Ubuntu"}
"""The distributions known here, and the origin that each signs into its archives."""
MERGED = frozenset({"bin", "lib", "lib32", "lib64", "libx32"})
"""Links into `usr`, as on an installed system."""
TAKEN = ("usr/bin", "usr/lib", "usr/share")
LEFT_OUT = tuple(
    f"usr/share/{name}"
    for name in ("bash-completion", "bug", "fish", "info", "lintian", "locale", "man", "zsh")
)
PATIENCE = 900
ELSEWHERE = (
    "build it on a machine of the base's distribution and bring it here"
    " (`sandbox-broker tool save`), or give the tool a Dockerfile that has the program"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Programs:
    """Files for an image by their paths, and which packages they are of."""

    files: Mapping[str, Item]
    versions: Mapping[str, str]


NONE = Programs(files={}, versions={})


def fetch(names: Sequence[str], release: str, present: Collection[str]) -> Programs:
    """Return what packages bring to a base of `release` that has the files `present`.

    `release` is as in `debian bookworm`.
    """
    here = host_release()
    if release != here or not shutil.which("apt-get"):
        raise ToolNotBuildable(
            f"the packages {', '.join(names)} are of {release or 'no known distribution'}, the"
            f" base's, and this machine cannot fetch them: it is {here}; {ELSEWHERE}"
        )
    with tempfile.TemporaryDirectory(prefix="sandbox-broker-") as room:
        debs = _downloaded(names, release, Path(room))
        files: dict[str, Item] = {}
        versions: dict[str, str] = {}
        for deb in debs:
            name, version, _ = deb.name.split("_")
            brought = dict(_brought(deb, name in names, present))
            files |= brought
            versions |= {name: version.replace("%3a", ":")} if brought else {}
    return Programs(files=files, versions=versions)


def host_release(os_release: Path = Path("/etc/os-release")) -> str:
    """Return this machine's distribution: `debian bookworm`, or what it calls itself."""
    lines = os_release.read_text().splitlines() if os_release.exists() else []
    fields = dict(line.split("=", 1) for line in lines if "=" in line)
    return " ".join(fields.get(key, "").strip('"') for key in ("ID", "VERSION_CODENAME")).strip()


def _downloaded(names: Sequence[str], release: str, room: Path) -> list[Path]:
    """Fetch packages and what they depend on; where lists are old, with fresh lists."""
    archives = room / "archives"
    (archives / "partial").mkdir(parents=True)
    command = ["apt-get", "-q", "--yes", "--download-only", *_options(release, room)]
    command += ["install", "--", *names]
    if _run(command):
        _run(["apt-get", "-q", "update"])
        if complaint := _run(command):
            raise ToolNotBuildable(
                f"apt cannot fetch {', '.join(names)}: {complaint}; check the machine's package"
                f" sources (`apt-get update`), or {ELSEWHERE}"
            )
    return sorted(archives.glob("*.deb"))


def _options(release: str, room: Path) -> Iterator[str]:
    """Resolve as on an empty machine, and take only what the distribution itself signed."""
    distribution, codename = release.split()
    origin = ORIGINS.get(distribution, distribution)
    pins = [f"{codename}{part}" for part in ("", "-updates", "-security")]
    stanzas = [f"Package: *\nPin: release o={origin},n={pin}\nPin-Priority: 990\n" for pin in pins]
    (room / "status").write_text("")
    (room / "preferences").write_text("\n".join(stanzas))
    yield f"-oDir::State::status={room / 'status'}"
    yield f"-oDir::Cache::archives={room / 'archives'}"
    yield f"-oDir::Etc::preferences={room / 'preferences'}"
    yield "-oDir::Etc::preferencesparts=-"
    yield "-oAPT::Install-Recommends=false"
    yield "-oAPT::Get::AllowUnauthenticated=false"
    yield "-oAPT::Sandbox::User=root"
    yield "-oDebug::NoLocking=true"


def _run(command: Sequence[str]) -> str:
    """Return what a command that failed complained of; nothing of one that did not."""
    environment = {"LC_ALL": "C", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    try:
        done = subprocess.run(  # noqa: S603 - no shell, and names of packages are checked
            command, check=False, capture_output=True, text=True, timeout=PATIENCE, env=environment
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return last_words(done.stderr) or "it failed" if done.returncode else ""


def _brought(deb: Path, named: bool, present: Collection[str]) -> Iterator[tuple[str, Item]]:  # noqa: FBT001
    command = ["dpkg-deb", "--fsys-tarfile", str(deb)]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE) as child,  # noqa: S603 - no shell
        tarfile.open(fileobj=child.stdout, mode="r|") as package,
    ):
        for member in package:
            path = wanted(member.name, named=named)
            if path and path not in present and (found := _item(package, member)):
                yield path, found
    if child.returncode:
        raise ToolNotBuildable(f"{deb.name} cannot be unpacked")


def wanted(name: str, *, named: bool) -> str | None:
    """Return where a package's file belongs in the image; None: it is left out."""
    path = PurePosixPath("/", name).relative_to("/")
    if path.parts and path.parts[0] in MERGED:
        path = PurePosixPath("usr") / path
    below = [place for place in TAKEN if path.is_relative_to(place)]
    if ".." in path.parts or not below or any(path.is_relative_to(left) for left in LEFT_OUT):
        return None
    if path.is_relative_to("usr/share/doc") and path.name != "copyright":
        return None
    return None if below == ["usr/bin"] and not named else str(path)


def _item(package: tarfile.TarFile, member: tarfile.TarInfo) -> Item | None:
    """Return one file or link. Owners, times and special bits are not taken over."""
    if member.issym():
        return Item(content=b"", link=member.linkname)
    if not member.isreg() or (content := package.extractfile(member)) is None:
        return None
    return Item(content=content.read(), executable=bool(member.mode & stat.S_IXUSR))
