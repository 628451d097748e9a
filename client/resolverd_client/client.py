"""The client: cards and checkpoints of the node's daemon, as plain blocking calls.

Contract: every call returns fresh objects; no call answers while the daemon is gone; a client may
be used by any number of threads, before and after a fork, and by signal handlers.
"""

from __future__ import annotations

from time import monotonic

from resolverd_client import local
from resolverd_client.connection import Silence, close_all
from resolverd_client.errors import AssetNotFoundError, FetchError, RequestError
from resolverd_client.link import Link, SilentError, seconds, value
from resolverd_client.watching import Watch

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from builtins import list as List  # noqa: N812 (the class has a method of that name)
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path
    from typing import Any, TypeVar

    from resolverd_client.connection import Connection

    _T = TypeVar("_T")

_NAMES = ("names",)
# The daemon ends a wait by itself; only when it does not is the connection given up.
_GRACE = 2.0
_SHORTEST = 0.05


class Client:
    """Talks to the node's resolverd.

    Args:
        socket_path: The daemon's socket. By default ``RESOLVERD_SOCKET``, else the user's daemon
            (``$XDG_RUNTIME_DIR/resolverd/resolverd.sock``), else the system's
            (``/run/resolverd/resolverd.sock``).
        timeout: Seconds to wait for the daemon itself; fetching has its own time.
    """

    def __init__(
        self, socket_path: str | os.PathLike[str] | None = None, timeout: float = 5.0
    ) -> None:
        self._link = Link(socket_path, timeout)

    def __repr__(self) -> str:
        link = self._link
        kept = len(link.replies.packed) if link.replies is not None else 0
        return (
            f"<Client {' or '.join(link.paths)} timeout={link.timeout:g} "
            f"idle={len(link.idle)} kept={kept}>"
        )

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close idle connections and forget kept replies; a later call connects again."""
        self._link.close()

    @property
    def source(self) -> str:
        """Where the cards come from, in the form of fairseq2's providers: ``resolverd:SOCKET``."""
        return f"resolverd:{self._link.paths[0]}"

    def maybe_get_metadata(self, name: str) -> dict[str, Any] | None:
        """Give one card as fairseq2 >= 0.5 does.

        Args:
            name: ``name@`` or ``name@env``; ``name`` stands for ``name@``.

        Returns:
            The card's fields, without ``name`` and with ``__base_path__``; None if there is none.
        """
        try:
            key = name if "@" in name else name + "@"
        except TypeError:
            raise _not_a_name(name) from None
        link = self._link
        packed = link.kept(key)
        if packed is not None:
            return value(packed)  # type: ignore[no-any-return]
        return link.ask(key, "get", [_a_name(key)])  # type: ignore[no-any-return]

    def get_metadata(self, name: str) -> dict[str, Any]:
        """Give one card as fairseq2 0.2 to 0.4 did: with ``name``, and an exception for a miss.

        Raises:
            AssetNotFoundError: No store has it.
        """
        metadata = self.maybe_get_metadata(name)
        if metadata is None:
            raise _not_found(name)
        metadata["name"] = name.removesuffix("@")
        return metadata

    def get_names(self) -> list[str]:
        """List the canonical names (``name@``, ``name@env``), as fairseq2 0.3 and 0.4 did."""
        packed = self._link.kept(_NAMES)
        if packed is not None:
            return value(packed)  # type: ignore[no-any-return]
        return self._link.ask(_NAMES, "names", [])  # type: ignore[no-any-return]

    @property
    def asset_names(self) -> set[str]:
        """The canonical names (``name@``, ``name@env``), as fairseq2 >= 0.5 gives them."""
        return set(self.get_names())

    def clear_cache(self) -> None:
        """Forget kept replies. Never needed: they are dropped when a card changes."""
        self._link.replies = None

    def resolve(self, name: str, env: str | None = None) -> dict[str, Any]:
        """Give an asset's merged fields: its card, the environment's override, the base chain.

        Args:
            name: ``name`` for the environments ``user`` and ``env``; ``name@e`` for ``e`` alone;
                ``name@`` for none.
            env: The environment to look at after ``user``; by default the daemon's own.

        Raises:
            AssetNotFoundError: No store has it.
        """
        key = (_a_name(name), env)
        packed = self._link.kept(key)
        ask = self._link.ask
        fields = ask(key, "resolve", [name, env]) if packed is None else value(packed)
        if fields is None:
            raise _not_found(name)
        return fields  # type: ignore[no-any-return]

    def list(self, glob: str | None = None, kind: str | None = None) -> List[dict[str, Any]]:
        """List cards as rows for people, by pattern and kind (model, dataset or tokenizer)."""
        return self.call("list", {"glob": glob, "kind": kind})  # type: ignore[no-any-return]

    def show(self, name: str, env: str | None = None) -> dict[str, Any]:
        """Tell of which card, file and environment each field of an asset comes."""
        return self.call("show", _a_name(name), env)  # type: ignore[no-any-return]

    def status(self) -> dict[str, Any]:
        """Give the daemon's state: stores, problems, downloads, cache."""
        return self.call("status")  # type: ignore[no-any-return]

    def verify(self, names: Iterable[str] | None = None) -> List[dict[str, Any]]:
        """Hash published checkpoints again, however long it takes.

        Args:
            names: The assets; None for all that the cache holds.

        Returns:
            One verdict for each object.
        """
        which = {"names": None if names is None else _many(names), "all": names is None}
        result, _ = self._long("verify", [which], None)
        return result  # type: ignore[no-any-return]

    def path(self, name: str | None = None, **options: Any) -> Path:
        """Give the local path of a verified checkpoint; fetch it when it is missing.

        Args:
            name: The asset, unless ``uri`` is given.
            **options: ``field`` (of the card, by default the checkpoint of its kind), ``env``;
                ``uri``, ``kind`` and optionally ``checksum`` in place of a name; ``wait`` (False
                raises at once when it is missing, while it is being fetched), ``timeout`` in
                seconds (None: no end), ``refresh`` (ask the origin again), ``progress`` (called
                as in ``prefetch``).

        Raises:
            AssetNotFoundError: No store has the asset.
            FetchError: It can't be fetched, is not there in time, or this process can't see it.
            VerificationError: Its content is not what was promised.
        """
        result, fds = self._obtain("path", name, options)
        close_all(fds)
        if local.evicted(result):  # since the daemon found it
            result, fds = self._obtain("path", name, options)
            close_all(fds)
        return local.visible_path(result)

    def lease(self, name: str | None = None, **options: Any) -> local.Lease:
        """Give a context manager whose path is not evicted while it is held.

        Takes what ``path`` takes. The lease also ends with the process, however it ends; forked
        children share it.
        """
        result, fds = self._obtain("lease", name, options)
        return local.Lease(result, fds)

    def prefetch(
        self,
        targets: Iterable[str | Mapping[str, object]],
        *,
        wait: bool = True,
        progress: Callable[[dict[str, Any]], None] | None = None,
        timeout: float | None = None,
        refresh: bool = False,
        **common: Any,
    ) -> List[dict[str, Any]]:
        """Have checkpoints fetched and verified.

        Args:
            targets: Names, URIs (anything with ``://``), or target maps of the wire.
            wait: Whether to return only when all are there.
            progress: Called with ``{uri, done, total, rate, state, ...}`` as bytes come in.
            timeout: Seconds to wait at most; None for no end.
            refresh: Whether to ask the origins again.
            **common: ``field``, ``kind``, ``env`` or ``checksum`` of every target.

        Returns:
            One map for each file: ``name``, ``field``, ``kind``, ``uri``, ``path`` (None when
            it is still coming), ``key``, ``size``, ``digest``, ``trust`` and ``error`` (None, or
            ``code``, ``message``, ``details``).

        Raises:
            ResolverdError: One target failed, or (FetchError) several did; ``details["results"]``
                then holds what the call would have returned.
        """
        wanted = [_target(each, common) for each in _many(targets)]
        how = {"wait": wait, "timeout": timeout, "refresh": refresh}
        results, _ = self._long("prefetch", [wanted, how], timeout, progress)
        local.raise_failures(results)
        return results  # type: ignore[no-any-return]

    def cache_list(self) -> List[dict[str, Any]]:
        """Tell what takes room in the daemon's cache: one map for each object, by its key."""
        result, _ = self._long("cache_list", [], None)
        return result  # type: ignore[no-any-return]

    def cache_pin(self, targets: Iterable[str | Mapping[str, object]]) -> List[dict[str, Any]]:
        """Have checkpoints stay in the cache, whatever room is needed, until they are unpinned.

        Args:
            targets: Names, URIs, keys of objects, or target maps of the wire. A name or a URI need
                not be in the cache yet, and also holds for versions that are fetched later.

        Raises:
            RequestError: This user may not change the cache (``denied``).
        """
        result, _ = self._long("cache_pin", [[_cached(each) for each in _many(targets)]], None)
        return result  # type: ignore[no-any-return]

    def cache_unpin(self, targets: Iterable[str | Mapping[str, object]]) -> List[dict[str, Any]]:
        """Have checkpoints give way again where room is needed; tells which were pinned."""
        result, _ = self._long("cache_unpin", [[_cached(each) for each in _many(targets)]], None)
        return result  # type: ignore[no-any-return]

    def cache_remove(
        self, targets: Iterable[str | Mapping[str, object]], *, force: bool = False
    ) -> List[dict[str, Any]]:
        """Remove checkpoints from the cache: of a name or a URI every version, of a key that one.

        Args:
            targets: As for ``cache_pin``.
            force: Whether to remove what is pinned. What is leased stays in any case.

        Returns:
            One map for each thing found, with ``removed`` and, where it stays, ``reason``.

        Raises:
            RequestError: This user may not change the cache (``denied``).
        """
        wanted = [_cached(each) for each in _many(targets)]
        result, _ = self._long("cache_remove", [wanted, {"force": force}], None)
        return result  # type: ignore[no-any-return]

    def cache_collect(
        self, to: int | None = None, *, dry_run: bool = False
    ) -> List[dict[str, Any]]:
        """Clean the cache up.

        Args:
            to: Bytes to come down to, the least recently used going first. None: remove what nobody
                needs: quarantined files, superseded versions, downloads that nobody waits for.
            dry_run: Whether only to tell what would go.

        Returns:
            One map for each thing that was removed.

        Raises:
            RequestError: This user may not change the cache (``denied``).
        """
        result, _ = self._long("cache_collect", [{"to": to, "dry_run": dry_run}], None)
        return result  # type: ignore[no-any-return]

    def watch(self, glob: str | None = None) -> Iterator[dict[str, Any]]:
        """Watch cards change, from this call on.

        Yields:
            ``{generation, added, changed, removed, stale}``, lists of canonical names. After a
            restart of the daemon one event tells what changed meanwhile.

        Raises:
            DaemonUnavailableError: The daemon is gone for longer than the timeout.
        """
        return Watch(self._link, glob)

    def call(self, method: str, *params: object) -> Any:
        """Make any short call of PROTOCOL.md, and give its result."""
        deadline = monotonic() + self._link.timeout

        def work(connection: Connection) -> Any:
            result, fds = connection.call(method, list(params), deadline)
            close_all(fds)
            return result

        return self._link.run(work, deadline)

    def _obtain(
        self, method: str, name: str | None, options: dict[str, Any]
    ) -> tuple[dict[str, Any], List[int]]:
        options = dict(options)
        progress = options.pop("progress", None)
        how = {key: options.pop(key) for key in ("wait", "timeout", "refresh") if key in options}
        uri = options.pop("uri", None)
        if (name is None) == (uri is None):
            raise RequestError("give either a name or uri=, and one of them")
        target = _target({"uri": uri} if name is None else {"name": _a_name(name)}, options)
        result, fds = self._long(method, [target, how], how.get("timeout"), progress)
        if result is None:
            raise FetchError(f"{name or uri} is not in the cache yet; it is being fetched")
        return result, fds

    def _long(
        self,
        method: str,
        params: List[object],
        timeout: float | None,
        progress: Callable[[dict[str, Any]], None] | None = None,
    ) -> tuple[Any, List[int]]:
        """Make a call that takes as long as it takes, on a connection of its own."""
        if timeout is not None:
            timeout = seconds(timeout, "timeout")
        deadline = None if timeout is None else monotonic() + timeout + _GRACE

        def notice(what: str, about: List[Any]) -> None:
            if progress is not None and what == "progress" and len(about) == 2:
                progress(about[1])

        # A daemon that hangs holds its connections: only another question shows that.
        silence = Silence(max(_SHORTEST, self._link.timeout / 2), self._link.probe)
        try:
            return self._link.run(
                lambda each: each.call(method, params, deadline, notice, silence), deadline
            )
        except SilentError as error:
            raise error.__cause__ or error from None


_TARGET_KEYS = frozenset(("name", "uri", "field", "kind", "env", "checksum"))


def _many(targets: Iterable[_T]) -> List[_T]:
    """Take no string apart: each of its characters could be a name."""
    if isinstance(targets, (str, bytes)):
        raise RequestError(f"give a list of names, not one name: [{targets!r:.80}]")
    return list(targets)


def _target(what: str | Mapping[str, object], common: Mapping[str, object]) -> dict[str, object]:
    if isinstance(what, str):
        what = {"uri": what} if "://" in what else {"name": what}
    target = {**common, **what}
    unknown = target.keys() - _TARGET_KEYS
    if unknown:
        raise RequestError(f"unknown argument {', '.join(sorted(unknown))}")
    return {key: value for key, value in target.items() if value is not None}


def _cached(what: str | Mapping[str, object]) -> dict[str, object]:
    """Tell a key from a name or a URI: 24 hex digits, a dash, and 16 more."""
    if isinstance(what, str):
        asset, _, content = what.partition("-")
        digits = asset + content
        if (len(asset), len(content)) == (24, 16) and not digits.strip("0123456789abcdef"):
            return {"key": what}
        return {"uri": what} if "://" in what or what.startswith("/") else {"name": what}
    return dict(what)


def _a_name(name: str) -> str:
    if not isinstance(name, str):
        raise _not_a_name(name)
    return name


def _not_a_name(name: object) -> RequestError:
    return RequestError(f"an asset's name must be a str, not {type(name).__name__}: {name!r:.80}")


def _not_found(name: str) -> AssetNotFoundError:
    return AssetNotFoundError(
        f"no store has an asset named {name!r}; `resolverctl list` shows those there are"
    )
