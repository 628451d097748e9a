"""fairseq2's download manager: verified local files from the daemon, else its own downloads.

Contract: a path that was given out stays there as long as the process lives. A file that is not
what was promised is nobody's. For any other failure of the daemon fairseq2 tries by itself, as a
job may have rights, tokens and proxies of its own; when it fails too, the daemon's reason is told.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from fairseq2.assets import AssetDownloadManager

from resolverd_client.errors import DaemonUnavailableError, ResolverdError, VerificationError
from resolverd_client.fairseq2 import internals, localise
from resolverd_client.fairseq2.node import Node, log
from resolverd_client.fairseq2.progress import Bar
from resolverd_client.local import Lease

SCHEMES = frozenset(("http", "https", "hg", "s3"))

_leases: dict[Path, Lease] = {}


@dataclass(frozen=True)
class Wanted:
    """What fairseq2 asked for.

    Attributes:
        uri: fairseq2's ``Uri``.
        kind: ``model``, ``tokenizer`` or ``dataset``.
        name: The asset's name, which fairseq2 gave before 0.8.
    """

    uri: Any
    kind: str
    name: str

    def error(self, reason: Exception) -> Exception:
        """Make fairseq2's error of a download that failed."""
        return internals.download_error(self.uri, self.name, self.kind, str(reason))


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
        own = partial(self._own.download_model, uri, model_name, **options)
        return self._download(Wanted(uri, "model", model_name), own, options)

    def download_tokenizer(self, uri: Any, tokenizer_name: str = "", **options: Any) -> Path:
        """Give the local path of a tokenizer."""
        own = partial(self._own.download_tokenizer, uri, tokenizer_name, **options)
        return self._download(Wanted(uri, "tokenizer", tokenizer_name), own, options)

    def download_dataset(self, uri: Any, dataset_name: str = "", **options: Any) -> Path:
        """Give the local path of a dataset."""
        own = partial(self._own.download_dataset, uri, dataset_name, **options)
        return self._download(Wanted(uri, "dataset", dataset_name), own, options)

    def _download(
        self, wanted: Wanted, own: Callable[[], Path], options: Mapping[str, Any]
    ) -> Path:
        """Ask the daemon, then fairseq2; what neither has fails for the daemon's reason."""
        text = str(wanted.uri)
        local = text.partition(":")[0] == localise.SCHEME
        if not local and text.partition(":")[0] not in SCHEMES:
            return own()
        text = localise.file_uri(text)
        found = self._ask(text, wanted, refresh=bool(options.get("force")))
        if isinstance(found, Path):
            return found
        if local:
            return localise.path_of(text)
        try:
            return own()
        except Exception as error:
            if found is None:
                raise
            raise wanted.error(found) from error

    def _ask(self, uri: str, wanted: Wanted, *, refresh: bool) -> Path | ResolverdError | None:
        """Ask the daemon.

        Returns:
            The path; or why the daemon has none; or None when it is gone.

        Raises:
            AssetDownloadError: The file is not what was promised, so nobody may have it.
        """
        self._node.stores()  # the first contact, unless there was one
        if self._node.gone:
            return None
        try:
            return self._lease(uri, wanted.kind, refresh=refresh)
        except DaemonUnavailableError as error:
            self._node.give_up(error)
            return None
        except VerificationError as error:
            raise wanted.error(error) from error
        except ResolverdError as error:
            log.warning("resolverd: %s fairseq2 tries to get %s by itself.", error, uri)
            return error

    def _lease(self, uri: str, kind: str, *, refresh: bool) -> Path:
        with Bar(self._resolver) as bar:
            lease = self._node.lease(uri=uri, kind=kind, refresh=refresh, progress=bar.show)
        _leases[lease.path] = lease
        return _resolved(lease.path)


def _resolved(path: Path) -> Path:
    """Follow links to the folder, as fairseq2 wants members of it to lie below it."""
    whole = path.resolve()
    return whole if path.is_dir() else path.parent.resolve() / path.name
