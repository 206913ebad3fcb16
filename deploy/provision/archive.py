"""How does a file tree become an image whose id anyone can compute again?

Law: the archive has no clock and no randomness in it. An image's id is the digest of its
configuration, and that names the digest of its layer.
Form: the image archive of `docker save` (moby image specification v1.2).
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
ENVIRONMENT = (
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG=C.UTF-8",
)


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def configuration(
    *, layer: Path, machine: str, user: str, labels: Mapping[str, str], epoch: int
) -> bytes:
    """Return the image's configuration, in one canonical form."""
    created = datetime.fromtimestamp(epoch, UTC).isoformat().replace("+00:00", "Z")
    config = {
        "architecture": MACHINES[machine],
        "os": "linux",
        "created": created,
        "config": {
            "User": user,
            "Env": list(ENVIRONMENT),
            "WorkingDir": "/",
            "Labels": dict(labels),
        },
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest_of(layer)}"]},
        "history": [{"created": created, "created_by": "packages of the distribution"}],
    }
    return json.dumps(config, sort_keys=True, separators=(",", ":")).encode()


def write(archive: Path, *, config: bytes, layer: Path, tag: str) -> str:
    """Write the archive that an engine loads; return the digest of its configuration."""
    digest = hashlib.sha256(config).hexdigest()
    manifest = [{"Config": f"{digest}.json", "RepoTags": [tag], "Layers": ["layer.tar"]}]
    with tarfile.open(archive, "w", format=tarfile.GNU_FORMAT) as out:
        _add(out, f"{digest}.json", config)
        out.add(layer, "layer.tar", filter=_plain)
        _add(out, "manifest.json", json.dumps(manifest).encode())
    return digest


def _add(out: tarfile.TarFile, name: str, content: bytes) -> None:
    member = _plain(tarfile.TarInfo(name))
    member.size = len(content)
    out.addfile(member, io.BytesIO(content))


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = ""
    member.mode = 0o644
    return member
