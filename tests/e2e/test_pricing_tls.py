"""Prices over https: the certificate is verified as the system does, and no proxy is asked."""

import ssl
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

import hostile_prices as hostile
from certificates import DAY, CertificateAuthority
from hostile_prices import HostilePrices
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.pricing.source import fetch
from strict import Strict, code_of, priced_2


def too_old(context: ssl.SSLContext) -> ssl.SSLContext:
    """Let a server speak nothing newer than TLS 1.1."""
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning):
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    return context


async def test_only_a_certificate_that_is_good_for_the_host_now_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Expired, not begun, for another host, of nobody we know, TLS 1.1: refused before anything is asked."""
    authority = CertificateAuthority(tmp_path)
    stranger_folder = tmp_path / "stranger"
    stranger_folder.mkdir()
    bad = {
        "expired": authority.server(since=timedelta(days=6)),
        "not begun": authority.server(since=-DAY),
        "another host": authority.server(x509.DNSName("prices.example")),
        "another authority": CertificateAuthority(stranger_folder).server(),
        "TLS 1.1": too_old(authority.server()),
    }
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.path))
    for name, context in bad.items():
        with HostilePrices(hostile.body(b"{}"), tls=context) as server:
            with pytest.raises(SpendGuardError, match="Remote pricing request failed") as refused:
                await fetch(server.url, etag="", timeout_seconds=5)
            assert refused.value.code is Code.PRICING_UNAVAILABLE, name
            assert server.asked == [], name
    with HostilePrices(hostile.body(b"{}"), tls=authority.server()) as server:
        assert (await fetch(server.url, etag="", timeout_seconds=5)).body == b"{}"


def test_a_daemon_asks_over_https(tmp_path: Path) -> None:
    """The whole way, with an authority that this machine trusts; without it nothing is asked."""
    authority = CertificateAuthority(tmp_path)
    with HostilePrices(hostile.body(priced_2(1)), tls=authority.server()) as server:
        with Strict(tmp_path / "home", server.url) as sidecar:
            assert code_of(sidecar.refresh().json()["detail"]) is Code.PRICING_UNAVAILABLE
        assert server.asked == []
        with Strict(tmp_path / "home", server.url, env={"SSL_CERT_FILE": str(authority.path)}) as sidecar:
            assert sidecar.pricing()["sequence"] == 1


def test_no_proxy_of_the_environment_is_asked(tmp_path: Path) -> None:
    """It would see every question, and could answer it."""
    with HostilePrices(hostile.body(priced_2(1))) as server, HostilePrices() as proxy:
        address = f"http://127.0.0.1:{proxy.port}"
        env = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"), address)
        with Strict(tmp_path / "home", server.url, env=env) as sidecar:
            assert sidecar.pricing()["sequence"] == 1
        assert proxy.asked == []
