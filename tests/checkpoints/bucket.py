"""A real S3 server on loopback, moto's, that checks signatures when it is told to."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
from botocore.config import Config

KEY, SECRET = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"


class Bucket:
    """One bucket of the server.

    Attributes:
        name: Its name.
        endpoint: URL of the server.
        client: The owner's own client.
    """

    def __init__(self, name: str, endpoint: str, client: Any) -> None:
        self.name = name
        self.endpoint = endpoint
        self.client = client

    def put(self, key: str, data: bytes, **more: object) -> None:
        """Write an object that everybody can read, unless told otherwise."""
        self.client.put_object(
            Bucket=self.name, Key=key, Body=data, **{"ACL": "public-read", **more}
        )

    def remove(self, key: str) -> None:
        self.client.delete_object(Bucket=self.name, Key=key)

    def uri(self, key: str) -> str:
        return f"s3://{self.name}/{key}"


class S3Server:
    """The server: ``with running() as server: server.bucket("name")``."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.client = boto3.client(
            "s3",
            endpoint_url=endpoint,
            aws_access_key_id=KEY,
            aws_secret_access_key=SECRET,
            region_name="us-east-1",
            config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 0}),
        )

    def bucket(self, name: str, **more: object) -> Bucket:
        """Make a bucket that everybody can list, unless told otherwise."""
        self.client.create_bucket(Bucket=name, **{"ACL": "public-read", **more})
        return Bucket(name, self.endpoint, self.client)


@contextmanager
def s3_running() -> Iterator[S3Server]:
    """Run the server while in the block."""
    from moto.server import DomainDispatcherApplication, create_backend_app  # noqa: PLC0415 -- slow
    from werkzeug.serving import WSGIRequestHandler, make_server  # noqa: PLC0415

    class Handler(WSGIRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_request(self, *_: object) -> None:
            pass

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    app = DomainDispatcherApplication(create_backend_app)
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield S3Server(f"http://127.0.0.1:{server.server_port}")
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
