"""Are the committed stubs what the .proto files say?

Law: `sandbox_runtime/v1` is written by the generator alone. `write` puts its output
there; `check` generates again and compares, so a forgotten run is found.

    python deploy/stubs.py {write,check}        (in the generator's own environment)
"""

from __future__ import annotations

import filecmp
import sys
import tempfile
from pathlib import Path

from grpc_tools import protoc

CHECKOUT = Path(__file__).resolve().parents[1]
PROTOS = CHECKOUT / "protos"
STUBS = CHECKOUT / "sandbox_runtime" / "v1"
KNOWN = Path(protoc.__file__).parent / "_proto"
"""The .proto files that come with the generator (`google/protobuf`)."""
OUTPUTS = ("python", "grpc_python", "mypy", "mypy_grpc")
PLUGINS = ("mypy", "mypy_grpc")


def generate(into: Path) -> Path:
    """Generate every stub under `into`; return the directory that they are in."""
    scripts = Path(sys.executable).parent
    plugins = [f"--plugin=protoc-gen-{name}={scripts}/protoc-gen-{name}" for name in PLUGINS]
    outputs = [f"--{name}_out={'quiet:' if name in PLUGINS else ''}{into}" for name in OUTPUTS]
    protos = sorted(str(path.relative_to(PROTOS)) for path in PROTOS.rglob("*.proto"))
    paths = [f"--proto_path={path}" for path in (PROTOS, KNOWN)]
    if protoc.main(["protoc", *paths, *plugins, *outputs, *protos]):
        sys.exit(1)
    return into / STUBS.relative_to(CHECKOUT)


def committed() -> set[str]:
    """Name the stubs that are there; the package's own `__init__.py` is written by hand."""
    stubs = (path for path in STUBS.glob("*_pb2*") if path.suffix in {".py", ".pyi"})
    return {path.name for path in stubs}


def write(fresh: Path) -> None:
    """Put the stubs in their place, and remove those whose .proto is gone."""
    names = {path.name for path in fresh.iterdir()}
    for name in names:
        (STUBS / name).write_bytes((fresh / name).read_bytes())
    for name in committed() - names:
        (STUBS / name).unlink()


def check(fresh: Path) -> None:
    """Name the stubs that differ from what the generator writes, and end with code 1."""
    names = {path.name for path in fresh.iterdir()}
    _, other, broken = filecmp.cmpfiles(fresh, STUBS, sorted(names), shallow=False)
    if wrong := sorted({*other, *broken, *(committed() - names)}):
        sys.exit(f"not what the generator writes: {', '.join(wrong)} (run `make protos`)")


def main(goal: str) -> None:
    """Generate, then write or check."""
    with tempfile.TemporaryDirectory() as room:
        {"write": write, "check": check}[goal](generate(Path(room)))


if __name__ == "__main__":
    main(sys.argv[1])
