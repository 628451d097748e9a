"""All that is known here of fairseq2's private parts, and where they stop being known.

A container keeps one registration for each type and key in ``_registrations``, and the keys of each
type in ``_keys``. A wrapper is registered in the usual way once the registration that it wraps is
taken out; whatever other extensions have registered stays where it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

FIRST, BEYOND = (0, 5), (0, 9)
"""Versions of fairseq2 from the first to before the second are known to be built as expected."""

_NEWER = "a newer resolverd-client may help"
_WRAPPED = (
    "FileAssetMetadataLoader",
    "PackageAssetMetadataLoader",
    "AssetDownloadManager",
    "AssetStore",
)

Wrapper = Callable[[Any, Any], Any]
"""Takes the wrapped object and the resolver, and gives the wrapper."""


def version() -> str:
    """Give fairseq2's version."""
    import fairseq2  # noqa: PLC0415 -- importing this module must not import fairseq2

    return str(fairseq2.__version__)


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(".")[:2])
    except ValueError:
        return ()


def unfit(container: Any) -> str | None:
    """Say why a container can't be extended.

    Args:
        container: fairseq2's ``DependencyContainer``.

    Returns:
        The reason, in words; None when all is as expected.
    """
    found = version()
    if not FIRST <= _numbers(found) < BEYOND:
        return f"its version is {found}, and 0.5 to 0.8 are known; {_NEWER}"
    registrations = getattr(container, "_registrations", None)
    keys = getattr(container, "_keys", None)
    if not isinstance(registrations, dict) or not isinstance(keys, dict):
        return f"its container is not built as expected; {_NEWER}"
    for kls in map(_type, _WRAPPED):
        registration = registrations.get((kls, None))
        if not hasattr(registration, "get_instance") or None not in keys.get(kls, ()):
            return f"{kls.__name__} is not registered as expected; {_NEWER}"
    return None


def wrap(container: Any, wrappers: Mapping[str, Wrapper]) -> None:
    """Put wrappers around what a container gives for some types: all of them or none.

    Args:
        container: One that is not ``unfit``.
        wrappers: By the name of the type, as ``fairseq2.assets`` has it.
    """
    registrations, keys = dict(container._registrations), dict(container._keys)  # noqa: SLF001
    try:
        for name, wrapper in wrappers.items():
            _wrap(container, _type(name), wrapper)
    except BaseException:
        container._registrations.clear()  # noqa: SLF001
        container._registrations.update(registrations)  # noqa: SLF001
        container._keys.update(keys)  # noqa: SLF001
        raise


def _wrap(container: Any, kls: type, wrapper: Wrapper) -> None:
    inner = container._registrations.pop((kls, None))  # noqa: SLF001
    keys = container._keys  # noqa: SLF001
    keys[kls] = [key for key in keys[kls] if key is not None]

    def provide(resolver: Any) -> Any:
        own = inner.get_instance(kls, resolver)
        return None if own is None else wrapper(own, resolver)

    container.register(kls, provide, singleton=getattr(inner, "singleton", False))


def _type(name: str) -> type:
    import fairseq2.assets  # noqa: PLC0415 -- as above

    return getattr(fairseq2.assets, name)  # type: ignore[no-any-return]


def providers_of(store: Any) -> list[Any] | None:
    """Give the metadata providers of fairseq2's own asset store, in its order.

    Returns:
        Its list; None when it is another kind of store.
    """
    if type(store) is not _type("StandardAssetStore") or not hasattr(store, "_asset_names"):
        return None
    providers = getattr(store, "_metadata_providers", None)
    return providers if isinstance(providers, list) else None


def replace_names(store: Any, names: Any) -> None:
    """Have fairseq2's own asset store take its names from elsewhere than its first look."""
    store._asset_names = names  # noqa: SLF001


def download_error(uri: Any, name: str, kind: str, reason: str) -> Exception:
    """Make fairseq2's ``AssetDownloadError``, which before 0.8 was told of an asset by name."""
    from fairseq2.assets import AssetDownloadError  # noqa: PLC0415 -- as above

    if _numbers(version()) < (0, 8):
        return AssetDownloadError(name, kind, f"Download of {uri} failed. {reason}")  # type: ignore[no-any-return]
    return AssetDownloadError(uri, reason)  # type: ignore[no-any-return]
