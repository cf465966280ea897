"""TLS certificates for servers on loopback: one authority, and whatever it is asked to sign."""

import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

DAY = timedelta(days=1)
LOOPBACK = x509.IPAddress(ip_address("127.0.0.1"))


class CertificateAuthority:
    """Signs certificates; `path` is what a client has to trust. Its files lie in one folder."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("SpendGuard test authority")
        made = _builder(self._name, self._name, self._key.public_key(), datetime.now(UTC) - DAY, 10 * DAY)
        made = made.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        self.path = folder / "authority.pem"
        self.path.write_bytes(made.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM))

    def server(self, host: x509.GeneralName = LOOPBACK, *, since: timedelta = DAY) -> ssl.SSLContext:
        """Return a server's side of TLS for a host, from `since` ago on and for five days."""
        key = ec.generate_private_key(ec.SECP256R1())
        start = datetime.now(UTC) - since
        made = _builder(_name("server"), self._name, key.public_key(), start, 5 * DAY)
        made = made.add_extension(x509.SubjectAlternativeName([host]), critical=False)
        path = self._folder / f"server-{id(key)}.pem"
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        path.write_bytes(private + made.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, start: datetime, life: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + life)
    )
