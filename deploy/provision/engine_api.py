"""How does set-up speak to a Docker Engine before any library is installed?

Law: plain HTTP over the engine's Unix socket, and only the requests listed here. Remote
engines are not spoken to: isolation is read back from this machine's kernel.
Requests and answers: Docker Engine API v1.41.
"""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from provision.problem import Problem

API = "/v1.41"
OLDEST = (1, 41)
"""The API of Docker Engine 20.10."""
Body = Iterable[bytes] | None
PATIENCE = 300.0
"""Seconds an answer may take; a pull of a large image is the slowest."""


class _OverUnixSocket(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


class EngineSaysNo(Exception):  # noqa: N818 - it is the engine's answer, not our error
    """The engine answered with an error `status`."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"the engine answered {status}: {text}")
        self.status = status


@dataclass(frozen=True, kw_only=True, slots=True)
class Image:
    """An image that the engine holds."""

    id: str
    labels: Mapping[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineApi:
    """The engine that listens at `socket`."""

    socket: Path

    def version(self, timeout: float = 5.0) -> str:
        """Return the engine's version, or raise what says that none can be used."""
        answer = self._ask("GET", "/version", timeout=timeout, prefix="")
        version, api = answer["Version"], answer["ApiVersion"]
        if tuple(map(int, api.split("."))) < OLDEST:
            raise Problem(
                f"the Docker Engine at {self.socket} is {version}, older than 20.10",
                "upgrade the engine, then run this again",
            )
        return str(version)

    def image(self, reference: str) -> Image | None:
        """Return what the engine knows about an image, or nothing."""
        try:
            found = self._ask("GET", f"/images/{quote(reference, safe='')}/json")
        except EngineSaysNo as no:
            if no.status == http.client.NOT_FOUND:
                return None
            raise
        return Image(id=found["Id"], labels=found["Config"].get("Labels") or {})

    def load(self, archive: Path) -> None:
        """Load an image archive (the form of `docker save`)."""
        with archive.open("rb") as body:
            self._stream("POST", "/images/load?quiet=1", body, "application/x-tar")

    def pull(self, name: str, digest: str) -> None:
        """Pull one image by digest from the registry that `name` begins with."""
        query = urlencode({"fromImage": name, "tag": digest})
        self._stream("POST", f"/images/create?{query}")

    def remove_image(self, reference: str) -> None:
        """Remove an image and all its tags."""
        self._ask("DELETE", f"/images/{quote(reference, safe='')}?force=1")

    def images(self, label: str) -> list[str]:
        """List the ids of the images that carry `label`."""
        return [row["Id"] for row in self._ask("GET", f"/images/json?{_with(label)}")]

    def containers(self, label: str) -> list[str]:
        """List the ids of the containers, ended ones too, that carry `label`."""
        rows = self._ask("GET", f"/containers/json?all=1&{_with(label)}")
        return [row["Id"] for row in rows]

    def remove_container(self, container: str) -> None:
        """Kill and remove a container."""
        self._ask("DELETE", f"/containers/{container}?force=1&v=1")

    def _stream(self, method: str, path: str, body: Body = None, kind: str = "") -> None:
        """Send a request whose errors come in the middle of an answer of status 200."""
        raw = self._raw(method, path, body=body, kind=kind)
        for line in raw.splitlines():
            error = json.loads(line).get("error") if line.startswith(b"{") else None
            if error:
                raise EngineSaysNo(http.client.OK, error)

    def _ask(self, method: str, path: str, *, timeout: float = PATIENCE, prefix: str = API) -> Any:  # noqa: ANN401 - JSON
        raw = self._raw(method, path, timeout=timeout, prefix=prefix)
        return json.loads(raw) if raw.strip() else None

    def _raw(
        self,
        method: str,
        path: str,
        *,
        body: Body = None,
        kind: str = "",
        timeout: float = PATIENCE,
        prefix: str = API,
    ) -> bytes:
        connection = _OverUnixSocket(self.socket, timeout)
        try:
            connection.request(method, prefix + path, body, {"Content-Type": kind} if kind else {})
            answer = connection.getresponse()
            raw = answer.read()
        finally:
            connection.close()
        if answer.status >= http.client.BAD_REQUEST:
            raise EngineSaysNo(answer.status, raw.decode(errors="replace").strip())
        return raw


def _with(label: str) -> str:
    return urlencode({"filters": json.dumps({"label": [label]})})
