"""Who signs the certificates of a broker and of its callers?

Law: an authority of the broker's own, made on first need, whose key never leaves its state. A
caller's certificate is good for a caller alone, and the broker's for the broker alone (extended
key usage, RFC 5280, 4.2.1.12).

Keys are on P-256: gRPC's BoringSSL takes no Ed25519 in a handshake unless told to.
"""

from __future__ import annotations

import ipaddress
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sandbox_runtime.server.issuing.book import IdentitiesUnusable, held, private, put

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

LIFETIME: Final = timedelta(days=3650)
_SKEW: Final = timedelta(minutes=5)
"""A certificate counts from so long ago, for clocks that are behind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A certificate and its key, as PEM."""

    certificate: bytes
    key: bytes = field(repr=False)

    @property
    def fingerprint(self) -> str:
        """The certificate's SHA-256."""
        return x509.load_pem_x509_certificate(self.certificate).fingerprint(hashes.SHA256()).hex()


class Authority:
    """Signs certificates."""

    def __init__(self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        """See `of`."""
        self._certificate, self._key = certificate, key

    @classmethod
    def of(cls, directory: Path) -> Self:
        """Return the authority there, made if there is none. Raises `IdentitiesUnusable`."""
        with held(directory):
            if not certificate_file(directory).exists():
                _make(directory)
            return cls._read(directory)

    @classmethod
    def _read(cls, directory: Path) -> Self:
        try:
            key = serialization.load_pem_private_key(private(directory / "ca.key"), None)
            certificate = x509.load_pem_x509_certificate(private(certificate_file(directory)))
        except (OSError, ValueError) as error:
            raise IdentitiesUnusable(f"the authority in `{directory}` cannot be read") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise IdentitiesUnusable(f"`{directory / 'ca.key'}` is no key on a curve")
        return cls(certificate, key)

    @property
    def pem(self) -> bytes:
        """The authority's certificate: what the other side checks against."""
        return self._certificate.public_bytes(serialization.Encoding.PEM)

    def caller(self, subject: str, until: datetime) -> Pair:
        """Return a new certificate for a caller."""
        names = [x509.UniformResourceIdentifier(f"sandbox-broker://subject/{subject}")]
        return self._signed(subject, names, ExtendedKeyUsageOID.CLIENT_AUTH, until)

    def broker(self, names: Sequence[str], until: datetime) -> Pair:
        """Return a new certificate for the broker, which is reached by these names."""
        return self._signed(
            "sandbox-broker", list(_hosts(names)), ExtendedKeyUsageOID.SERVER_AUTH, until
        )

    def _signed(
        self,
        name: str,
        names: Sequence[x509.GeneralName],
        usage: x509.ObjectIdentifier,
        until: datetime,
    ) -> Pair:
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _begun(_named(name[:64]), self._certificate.subject, key, until)
        for extension, critical in (
            (x509.BasicConstraints(ca=False, path_length=None), True),
            (x509.SubjectAlternativeName(names), False),
            (x509.ExtendedKeyUsage([usage]), True),
            (_usage(signs=False), True),
            (x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), False),
        ):
            builder = builder.add_extension(extension, critical)
        return _pair(builder.sign(self._key, hashes.SHA256()), key)


def certificate_file(directory: Path) -> Path:
    """Return where the authority's certificate lies."""
    return directory / "ca.pem"


def _make(directory: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = _named(f"sandbox-broker {secrets.token_hex(8)}")
    builder = (
        _begun(name, name, key, datetime.now(UTC) + LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs=True), critical=True)
    )
    pair = _pair(builder.sign(key, hashes.SHA256()), key)
    put(directory / "ca.key", pair.key)
    put(certificate_file(directory), pair.certificate)


def _begun(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, until: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.now(UTC) - _SKEW)
        .not_valid_after(until)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _pair(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Pair:
    pem = serialization.Encoding.PEM
    plain = serialization.NoEncryption()
    return Pair(
        certificate=certificate.public_bytes(pem),
        key=key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain),
    )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _hosts(names: Iterable[str]) -> Iterable[x509.GeneralName]:
    for name in names:
        try:
            yield x509.IPAddress(ipaddress.ip_address(name))
        except ValueError:
            yield x509.DNSName(name)


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
