"""The synchronous client of resolverd: ``from resolverd_client import Client``."""

from resolverd_client.client import Client
from resolverd_client.errors import (
    AssetNotFoundError,
    DaemonUnavailableError,
    FetchError,
    ProtocolError,
    RequestError,
    ResolverdError,
    VerificationError,
)

__all__ = [
    "AssetNotFoundError",
    "Client",
    "DaemonUnavailableError",
    "FetchError",
    "ProtocolError",
    "RequestError",
    "ResolverdError",
    "VerificationError",
]

__version__ = "0.1.0"
