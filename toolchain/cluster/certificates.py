"""Certificates of the embedded cluster: one authority, a server pair, a client pair per user, the token key.

Made once and valid for ten years.
"""

import datetime
import ipaddress
import os
import shutil
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import serialization as form
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.x509 import Certificate, CertificateBuilder
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from toolchain.cluster.state import write_private

VALID_DAYS = 3650
SERVER_NAMES = (
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
)
SERVER_ADDRESSES = ("127.0.0.1", "10.96.0.1")

# User -> (common name, groups) as RBAC sees them; Kubernetes' bootstrap roles name the two system users.
USERS: dict[str, tuple[str, str]] = {
    "admin": ("modelberth-admin", "system:masters"),
    "kwok": ("modelberth-kwok", "system:masters"),
    "etcd-client": ("kube-apiserver", ""),
    "kube-controller-manager": ("system:kube-controller-manager", ""),
    "kube-scheduler": ("system:kube-scheduler", ""),
}


def make(folder: Path) -> None:
    """Makes the authority, a pair for the server and for each user, and the key that signs service account tokens."""
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(mode=0o700)
    authority_key = ec.generate_private_key(ec.SECP256R1())
    authority = _authority(authority_key)
    _write(partial, "ca", None, authority)
    for name, (common_name, group) in {
        "server": ("modelberth-cluster", ""),
        **USERS,
    }.items():
        key = ec.generate_private_key(ec.SECP256R1())
        _write(
            partial,
            name,
            key,
            _signed(
                key,
                common_name,
                group,
                authority,
                authority_key,
                server=name == "server",
            ),
        )
    token_key = ec.generate_private_key(ec.SECP256R1())
    _write(partial, "service-account", token_key, None)
    public = token_key.public_key().public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo)
    write_private(partial / "service-account.pub", public.decode())
    os.replace(partial, folder)


def _authority(key: EllipticCurvePrivateKey) -> Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "modelberth-cluster-ca")])
    usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
    builder = _builder(name, name, key).add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    return builder.add_extension(usage, critical=True).sign(key, hashes.SHA256())


def _signed(
    key: EllipticCurvePrivateKey,
    common_name: str,
    group: str,
    authority: Certificate,
    authority_key: EllipticCurvePrivateKey,
    *,
    server: bool,
) -> Certificate:
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
    if group:
        attributes.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, group))
    usages = [ExtendedKeyUsageOID.CLIENT_AUTH]  # also the server's: etcd calls itself with it
    builder = _builder(x509.Name(attributes), authority.subject, key)
    if server:
        usages.append(ExtendedKeyUsageOID.SERVER_AUTH)
        names: list[x509.GeneralName] = [x509.DNSName(name) for name in SERVER_NAMES]
        names += [x509.IPAddress(ipaddress.ip_address(address)) for address in SERVER_ADDRESSES]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())
    return (
        builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(issuer, critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(authority_key, hashes.SHA256())
    )


def _builder(subject: x509.Name, issuer: x509.Name, key: EllipticCurvePrivateKey) -> CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=VALID_DAYS))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _write(
    folder: Path,
    name: str,
    key: EllipticCurvePrivateKey | None,
    certificate: Certificate | None,
) -> None:
    if key:
        pem = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
        write_private(folder / f"{name}.key", pem.decode())
    if certificate:
        write_private(folder / f"{name}.crt", certificate.public_bytes(form.Encoding.PEM).decode())
