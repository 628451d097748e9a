"""Trust in TLS servers: who is trusted, who is not, and what is only a broken line."""

from __future__ import annotations

import hashlib
import os
import socket
import ssl
import threading
from datetime import datetime, timezone
from pathlib import Path

import pytest
import trustme

from resolverd.checkpoints.faults import Denied
from resolverd.errors import SourceError
from tests.checkpoints.conftest import Bench, limits
from tests.checkpoints.origin import Origin
from tests.checkpoints.scripted import scripted, whole

DATA = os.urandom(300_000)
CARD = hashlib.sha256(DATA).hexdigest()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def trusted(authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> trustme.CA:
    """The authority, trusted as an operator has it trusted."""
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    return authority


def serving(authority: trustme.CA, *names: str, expired: bool = False) -> ssl.SSLContext:
    until = datetime(2020, 1, 1, tzinfo=timezone.utc) if expired else None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names, not_after=until).configure_cert(context)
    return context


def test_a_private_authority_is_trusted_by_ssl_cert_file(trusted: trustme.CA, bench: Bench) -> None:
    with scripted(lambda *_: whole(DATA), serving(trusted, "127.0.0.1")) as server:
        assert bench.content(bench.fetch(server.url(), CARD)) == DATA


def test_a_certificate_that_nobody_vouches_for_is_refused_at_once_with_the_remedy(
    authority: trustme.CA, bench: Bench
) -> None:
    with scripted(lambda *_: whole(DATA), serving(authority, "127.0.0.1")) as server:
        with pytest.raises(SourceError, match=r"no trusted TLS.*SSL_CERT_FILE"):
            bench.fetch(server.url(), CARD)
        assert server.requests == []
    assert bench.steps.count("retrying") == 0


def test_a_certificate_of_another_host_is_refused(trusted: trustme.CA, bench: Bench) -> None:
    with (
        scripted(lambda *_: whole(DATA), serving(trusted, "other.example")) as server,
        pytest.raises(SourceError, match="no trusted TLS"),
    ):
        bench.fetch(server.url(), CARD)


def test_an_expired_certificate_is_refused(trusted: trustme.CA, bench: Bench) -> None:
    tls = serving(trusted, "127.0.0.1", expired=True)
    with (
        scripted(lambda *_: whole(DATA), tls) as server,
        pytest.raises(SourceError, match=r"expired.*this node's clock"),
    ):
        bench.fetch(server.url(), CARD)


def test_a_redirect_from_https_to_http_is_refused(
    trusted: trustme.CA, origin: Origin, bench: Bench
) -> None:
    resource = origin.put("/a", DATA)
    moved = f"HTTP/1.1 302 Found\r\nLocation: {origin.url('/a')}\r\nContent-Length: 0\r\n\r\n"
    with (
        scripted(lambda *_: moved.encode(), serving(trusted, "127.0.0.1")) as server,
        pytest.raises(Denied, match=r"m\.bin: redirects from https to http:"),
    ):
        bench.fetch(server.url(), CARD)
    assert resource.requests == []


def test_a_redirect_from_http_to_https_is_followed(
    trusted: trustme.CA, origin: Origin, bench: Bench
) -> None:
    with scripted(lambda *_: whole(DATA), serving(trusted, "127.0.0.1")) as server:
        origin.put("/a", b"", redirect=server.url())
        assert bench.content(bench.fetch(origin.url("/a"), CARD)) == DATA


@pytest.mark.parametrize("sent", [0, 20, 100_000])
def test_a_tls_line_that_breaks_is_tried_again(
    trusted: trustme.CA, bench: Bench, sent: int
) -> None:
    answer = whole(DATA)
    with scripted(
        lambda n, _: answer if n else answer[:sent], serving(trusted, "127.0.0.1")
    ) as server:
        assert bench.content(bench.fetch(server.url(), CARD)) == DATA


def test_a_server_that_hangs_up_amid_the_handshake_is_tried_again(bench: Bench) -> None:
    bench.limits = limits(attempts=2)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def hang_up() -> None:
            for _ in range(2):
                sock, _ = server.accept()
                sock.recv(10)
                sock.close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        with pytest.raises(SourceError, match="Given up after 2 attempts"):
            bench.fetch(f"https://127.0.0.1:{server.getsockname()[1]}/a")
        thread.join(30)
