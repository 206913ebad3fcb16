"""How is a body kept so that a record can commit to it and it can still be erased?

Law: a body is on disk only encrypted under its task's key, and outside it stands only a
salted commitment: HMAC-SHA256 of the body under a random salt that is encrypted with it. So
a guess cannot be tried against the log, and a destroyed key leaves every commitment as it
was. Opening proves that the body is the one committed to.

A sealed item is commitment 32, nonce 12, AES-256-GCM of (salt 32, body), tag 16; the task
and the commitment are its associated data.
"""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import Field

from sandbox_runtime.evidence.faults import DamagedBody
from sandbox_runtime.evidence.frames import Kind
from sandbox_runtime.evidence.keys import NONCE_BYTES
from sandbox_runtime.evidence.segments import walk_from
from sandbox_runtime.strict import Strict

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sandbox_runtime.evidence.keys import Keys

_COMMITMENT_BYTES: Final = 32
_SALT_BYTES: Final = 32


class Reference(Protocol):
    """Anything that says of a body what a `BodyRef` does."""

    @property
    def commitment(self) -> str:
        """HMAC-SHA256 of the body under its secret salt, in hexadecimal."""
        ...

    @property
    def size(self) -> int:
        """Bytes of the body."""
        ...

    @property
    def at(self) -> int:
        """The body stands in the first frame from this position on that holds it."""
        ...


class BodyRef(Strict):
    """What a record says of a body: enough to find it and to prove it, and nothing of it.

    See `Reference` for what each part is.
    """

    commitment: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    size: Annotated[int, Field(ge=0)]
    at: Annotated[int, Field(ge=0)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """A body ready to be appended, and the reference to it."""

    ref: BodyRef
    item: bytes


class Bodies:
    """Seals and opens the bodies of the log under `root`.

    `end` tells where a body sealed now will be found at the earliest (`Log.bodies_end`);
    who only reads leaves it out.
    """

    def __init__(self, *, root: Path, keys: Keys, end: Callable[[], int] = lambda: 0) -> None:
        self._directory, self._keys, self._end = Kind.BODIES.directory(root), keys, end

    def seal(self, task_id: str, body: bytes) -> Sealed:
        """Encrypt `body`. It is kept only once appended. Raises `Erased`, `KeysRefused`."""
        cipher = AESGCM(self._keys.data_key(task_id).derive("body"))
        salt, nonce = secrets.token_bytes(_SALT_BYTES), secrets.token_bytes(NONCE_BYTES)
        commitment = hmac.digest(salt, body, "sha256")
        secret = cipher.encrypt(nonce, salt + body, _bound(task_id, commitment))
        ref = BodyRef(commitment=commitment.hex(), size=len(body), at=self._end())
        return Sealed(ref=ref, item=commitment + nonce + secret)

    def open(self, task_id: str, ref: Reference) -> bytes:
        """Return the body that `ref` commits to. Blocks.

        Raises `Erased`, `KeysRefused`, `DamagedBody` and `DamagedLog`.
        """
        cipher = AESGCM(self._keys.data_key(task_id).derive("body"))
        commitment = bytes.fromhex(ref.commitment)
        item = self._find(commitment, ref.at)[_COMMITMENT_BYTES:]
        try:
            opened = cipher.decrypt(
                item[:NONCE_BYTES], item[NONCE_BYTES:], _bound(task_id, commitment)
            )
        except InvalidTag as other:
            raise DamagedBody("changed, or another task's", commitment=ref.commitment) from other
        return _committed(opened, ref)

    def mac(self, task_id: str, content: bytes) -> str:
        """Return the identity of these bytes within the task: same bytes, same answer.

        HMAC-SHA256 under a key of the task's, in hexadecimal. Raises `Erased`, `KeysRefused`.
        """
        key = self._keys.data_key(task_id).derive("identity")
        return hmac.digest(key, content, "sha256").hex()

    def _find(self, commitment: bytes, position: int) -> bytes:
        for frame in walk_from(self._directory, Kind.BODIES, position=position):
            for item in frame.items:
                if item.startswith(commitment):
                    return item
        raise DamagedBody("not found", commitment=commitment.hex())


def _bound(task_id: str, commitment: bytes) -> bytes:
    return b"sandbox-broker/v1/body/" + task_id.encode() + b"/" + commitment


def _committed(opened: bytes, ref: Reference) -> bytes:
    salt, body = opened[:_SALT_BYTES], opened[_SALT_BYTES:]
    found = hmac.digest(salt, body, "sha256").hex()
    if not hmac.compare_digest(found, ref.commitment) or len(body) != ref.size:
        raise DamagedBody("not the body committed to", commitment=ref.commitment)
    return body
