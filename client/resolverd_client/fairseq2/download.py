"""fairseq2's download manager: verified local files from the daemon, else its own downloads.

Contract: a path that was given out stays there as long as the process lives. What the daemon says
about a file (it can't be had, it is not what was promised) is the answer; what it says about
itself (not allowed to fetch that, not there) makes fairseq2's own manager fetch the file.
"""

from __future__ import annotations

from collections.abc import Set
from pathlib import Path
from typing import Any

from fairseq2.assets import AssetDownloadManager

from resolverd_client.errors import (
    DaemonUnavailableError,
    FetchError,
    ResolverdError,
    VerificationError,
)
from resolverd_client.fairseq2 import internals, localise
from resolverd_client.fairseq2.node import Node, log
from resolverd_client.fairseq2.progress import Bar
from resolverd_client.local import Lease

SCHEMES = frozenset(("http", "https", "hg", "s3"))

_leases: dict[Path, Lease] = {}


class NodeDownloadManager(AssetDownloadManager):
    """Asks the daemon first.

    Args:
        own: fairseq2's manager.
        node: The daemon.
        resolver: Gives fairseq2's progress reporter.
        localising: Whether local files are read through the daemon's cache.
    """

    def __init__(
        self, own: AssetDownloadManager, node: Node, resolver: Any, *, localising: bool
    ) -> None:
        self._own = own
        self._node = node
        self._resolver = resolver
        self._localising = localising

    @property
    def supported_schemes(self) -> Set[str]:
        """What fairseq2's own manager supports, and local files that are to be localised."""
        schemes: Set[str] = self._own.supported_schemes
        return schemes | {localise.SCHEME} if self._localising else schemes

    def download_model(self, uri: Any, model_name: str = "", **options: Any) -> Path:
        """Give the local path of a model's checkpoint."""
        path = self._from_node(uri, model_name, "model", options)
        return path or self._own.download_model(uri, model_name, **options)

    def download_tokenizer(self, uri: Any, tokenizer_name: str = "", **options: Any) -> Path:
        """Give the local path of a tokenizer."""
        path = self._from_node(uri, tokenizer_name, "tokenizer", options)
        return path or self._own.download_tokenizer(uri, tokenizer_name, **options)

    def download_dataset(self, uri: Any, dataset_name: str = "", **options: Any) -> Path:
        """Give the local path of a dataset."""
        path = self._from_node(uri, dataset_name, "dataset", options)
        return path or self._own.download_dataset(uri, dataset_name, **options)

    def _from_node(self, uri: Any, name: str, kind: str, options: dict[str, Any]) -> Path | None:
        """Ask the daemon; None when fairseq2 has to fetch the file by itself."""
        text = str(uri)
        local = text.partition(":")[0] == localise.SCHEME
        if not local and text.partition(":")[0] not in SCHEMES:
            return None
        text = localise.file_uri(text)
        try:
            path = self._ask(text, kind, refresh=bool(options.get("force")))
        except (FetchError, VerificationError) as error:
            raise internals.download_error(uri, name, kind, str(error)) from error
        return localise.path_of(text) if local and path is None else path

    def _ask(self, uri: str, kind: str, *, refresh: bool) -> Path | None:
        """Ask the daemon; None when it can't say anything about the file.

        Raises:
            FetchError, VerificationError: What it says.
        """
        self._node.stores()  # the first contact, unless there was one
        if self._node.gone:
            return None
        try:
            return self._lease(uri, kind, refresh=refresh)
        except DaemonUnavailableError as error:
            self._node.give_up(error)
        except (FetchError, VerificationError) as error:
            if error.code != "not-local":
                raise
            _own_instead(uri, error)
        except ResolverdError as error:
            _own_instead(uri, error)
        return None

    def _lease(self, uri: str, kind: str, *, refresh: bool) -> Path:
        with Bar(self._resolver) as bar:
            lease = self._node.lease(uri=uri, kind=kind, refresh=refresh, progress=bar.show)
        _leases[lease.path] = lease
        return _resolved(lease.path)


def _resolved(path: Path) -> Path:
    """Follow links to the folder, as fairseq2 wants members of it to lie below it."""
    whole = path.resolve()
    return whole if path.is_dir() else path.parent.resolve() / path.name


def _own_instead(uri: str, error: ResolverdError) -> None:
    log.warning("resolverd: %s fairseq2 fetches %s by itself.", error, uri)
