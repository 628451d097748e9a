"""The demo's origin: what a newcomer sees must be the demo, not its machinery."""

from __future__ import annotations

import socket
import struct
import threading
from pathlib import Path

import pytest

from resolverd.demo.origin import CHUNK, Origin


def test_a_connection_that_is_cut_in_the_middle_of_a_range_is_no_error(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_bytes(bytes(32 * CHUNK))
    origin = Origin(tmp_path, 1 << 40)
    origin.daemon_threads = False  # so that closing waits for the answer's thread
    with origin:
        threading.Thread(target=origin.serve_forever, daemon=True).start()
        with socket.create_connection(origin.server_address[:2]) as client:
            client.sendall(b"GET /file HTTP/1.1\r\nHost: h\r\nRange: bytes=0-\r\n\r\n")
            assert client.recv(1) == b"H"
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        origin.shutdown()
    assert origin.sent < 32 * CHUNK
    assert capfd.readouterr().err == ""
