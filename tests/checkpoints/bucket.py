"""A real S3 server on loopback, moto's, that checks signatures when it is told to."""

from __future__ import annotations

import contextlib
import json
import logging
import socket
import threading
import uuid
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


@contextmanager
def signatures_checked(server: S3Server) -> Iterator[tuple[str, str]]:
    """Have the server refuse what nobody it knows has signed; gives a reader's key and secret."""
    from moto.core.authorization import enable_iam_authentication  # noqa: PLC0415 -- slow

    iam = boto3.client(
        "iam",
        endpoint_url=server.endpoint,
        aws_access_key_id=KEY,
        aws_secret_access_key=SECRET,
        region_name="us-east-1",
    )
    user = f"reader-{uuid.uuid4()}"
    iam.create_user(UserName=user)
    made = iam.create_access_key(UserName=user)["AccessKey"]
    may = {"Effect": "Allow", "Action": ["s3:GetObject", "s3:ListBucket"], "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [may]})
    iam.put_user_policy(UserName=user, PolicyName="reading", PolicyDocument=document)
    with enable_iam_authentication():
        yield made["AccessKeyId"], made["SecretAccessKey"]


class Relay:
    """Stands before a server, and cuts connections: after so many bytes each, while there are."""

    def __init__(self, port: int) -> None:
        self.cuts: list[int] = []
        self.sent = 0
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Relay:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._target))
            most = self.cuts.pop(0) if self.cuts else 1 << 40
            for source, target, allowed in ((client, server, 1 << 40), (server, client, most)):
                threading.Thread(
                    target=self._carry, args=(source, target, allowed), daemon=True
                ).start()

    def _carry(self, source: socket.socket, target: socket.socket, allowed: int) -> None:
        with source, target, contextlib.suppress(OSError):
            while allowed and (data := source.recv(min(1 << 16, allowed))):
                target.sendall(data)
                allowed -= len(data)
                self.sent += len(data)
            for end in (source, target):
                end.shutdown(socket.SHUT_RDWR)
