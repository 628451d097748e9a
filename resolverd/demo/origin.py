"""A small HTTP origin on loopback that serves one real safetensors checkpoint, with ranges.

It stands in for the site that a cluster downloads from, at a speed at which one can watch.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

CHUNK = 1 << 20


def write_checkpoint(path: Path, megabytes: int) -> str:
    """Write a safetensors file of one float32 matrix.

    Args:
        path: The file to write.
        megabytes: Size of the matrix in MiB.

    Returns:
        The file's SHA-256, in hex.
    """
    rows = megabytes * 256  # of 1,024 float32: 4 KiB a row
    tensor = {"dtype": "F32", "shape": [rows, 1024], "data_offsets": [0, rows * 4096]}
    header = json.dumps({"embed.weight": tensor}).encode()
    header += b" " * (-len(header) % 8)
    digest = hashlib.sha256()
    noise = random.Random(0).randbytes(CHUNK)  # noqa: S311 -- weights, not secrets
    with path.open("wb") as file:
        for part in (len(header).to_bytes(8, "little"), header, *(noise for _ in range(megabytes))):
            file.write(part)
            digest.update(part)
    return digest.hexdigest()


class Origin(ThreadingHTTPServer):
    """Serves the files of one folder and counts the bytes it sends.

    Attributes:
        folder: What is served.
        rate: Bytes a second of one connection.
        sent: Body bytes sent so far, also those that nobody read when a connection was cut.
    """

    daemon_threads = True

    def __init__(self, folder: Path, rate: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder = folder
        self.rate = rate
        self.sent = 0
        self.counting = threading.Lock()

    @property
    def url(self) -> str:
        """Address of the folder."""
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Origin

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the base's name
        pass

    def _answer(self, *, body: bool) -> None:
        file = self.server.folder / Path(self.path).name
        if not file.is_file():
            self.send_error(404)
            return
        size = file.stat().st_size
        first, last = 0, size - 1
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if asked:
            first, last = int(asked[1]), min(int(asked[2] or last), last)
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(last - first + 1))
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("ETag", f'"{file.stat().st_mtime_ns:x}"')
        if asked:
            self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
        self.end_headers()
        if body:
            # The daemon hangs up on a range once another connection has brought its rest
            with suppress(ConnectionError):
                self._send(file, first, last - first + 1)

    def _send(self, file: Path, offset: int, count: int) -> None:
        with file.open("rb") as source:
            source.seek(offset)
            while count > 0 and (chunk := source.read(min(CHUNK, count))):
                self.wfile.write(chunk)
                count -= len(chunk)
                with self.server.counting:
                    self.server.sent += len(chunk)
                time.sleep(len(chunk) / self.server.rate)


@contextmanager
def serving(folder: Path, rate: int) -> Iterator[Origin]:
    """Serve a folder while the block runs.

    Args:
        folder: What to serve.
        rate: Bytes a second of one connection.
    """
    with Origin(folder, rate) as origin:
        threading.Thread(target=origin.serve_forever, daemon=True).start()
        try:
            yield origin
        finally:
            origin.shutdown()
