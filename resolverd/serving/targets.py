"""Which checkpoints a client means: a card's field, or a URI."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, cast

from resolverd_client.errors import AssetNotFoundError, RequestError

from resolverd.cards.resolve import Resolution, source_uri
from resolverd.errors import CardError
from resolverd.serving.arguments import check, known, maybe

FIELDS = ("checkpoint", "tokenizer", "data")
"""Fields that are looked at, in this order, when the client names none."""

SHARDS_MOST = 1024
"""Files that one checkpoint may be cut into."""

Kind = Literal["model", "tokenizer", "dataset"]
_KINDS: Mapping[str, Kind] = {"checkpoint": "model", "tokenizer": "tokenizer", "data": "dataset"}

Resolve = Callable[[str, "str | None"], Resolution]


@dataclass(frozen=True, slots=True)
class Asset:
    """One thing to have on the local disk.

    Attributes:
        kind: What its files are for.
        uri: Where it comes from.
        checksum: What its card says its digest is: one, or one a file.
        localise: Whether a local file shall be copied into the cache all the same.
        name: The card, or None when the client gave a URI.
        field: The card's field.
        shards: How many files ``{shard_idx}`` in the URI stands for; 0 where it has none.
        inside: What of the fetched files is meant: a path below their folder.
    """

    kind: Kind
    uri: str
    checksum: str | Mapping[str, str] | None = None
    localise: bool = False
    name: str | None = None
    field: str | None = None
    shards: int = 0
    inside: str | None = None


def read(target: object, resolve: Resolve) -> list[Asset]:
    """Work out what a target of the wire means.

    Args:
        target: ``{name, field?, kind?, env?}`` or ``{uri, kind?, checksum?}``.
        resolve: Gives the merged fields of a name in an environment; raises if there is none.

    Returns:
        At least one asset: the named field, or those of ``FIELDS`` that the card has (with a kind:
        that kind's field alone).

    Raises:
        AssetNotFoundError: For a field that the card lacks.
        RequestError: For a target of another form, or a field that holds no URI.
    """
    asked = check(target, dict, "target")
    if "uri" in asked:
        return [_from_uri(asked)]
    known(asked, ("name", "field", "kind", "env"), "a target with a name")
    name = check(asked.get("name"), str, "name")
    field = maybe(asked.get("field"), str, "field")
    found = resolve(name, maybe(asked.get("env"), str, "env"))
    fields = [field] if field else _fields(found, _kind(asked.get("kind")))
    if not fields:
        raise AssetNotFoundError(
            f"{name} has nothing to fetch: none of {', '.join(FIELDS)}. Name another field."
        )
    return [_from_card(name, key, found) for key in fields]


def _from_uri(asked: Mapping[str, object]) -> Asset:
    known(asked, ("uri", "kind", "checksum"), "a target with a uri")
    uri = _sound(check(asked["uri"], str, "uri"), "uri")
    checksum = _checksum(asked.get("checksum"), "checksum")
    return Asset(_kind(asked.get("kind")) or "model", uri, checksum)


def _from_card(name: str, field: str, found: Resolution) -> Asset:
    if field not in found.fields:
        raise AssetNotFoundError(f"{name} has no field {field!r}.")
    what = f"field {field!r} of {name}"
    try:
        _sound(str(found.fields[field]), what)
        uri = _sound(source_uri(found, field), what)
    except CardError as error:
        raise RequestError(str(error), code="bad-request") from error
    key = f"{field}_checksum"
    if key not in found.fields and field == _first(found):
        key = "checksum"
    localise = found.fields.get("localise") is True
    return Asset(
        kind=_KINDS.get(field, "model"),
        uri=uri,
        checksum=_checksum(found.fields.get(key), f"field {key!r} of {name}"),
        localise=localise,
        name=name,
        field=field,
        shards=_shards(name, uri, found.fields),
        inside=_inside(name, field, found.fields),
    )


def _shards(name: str, uri: str, fields: Mapping[str, object]) -> int:
    """How many files a URI with ``{shard_idx}`` stands for: the card's ``num_shards``, else one."""
    if "shard_idx" not in uri.rpartition("/")[2]:  # as fairseq2 0.8.1 tells them
        return 0
    count = fields.get("num_shards", 1)
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= SHARDS_MOST:
        raise RequestError(
            f"field 'num_shards' of {name} must be a number from 1 to {SHARDS_MOST}, not {count!r}."
        )
    return count


def _inside(name: str, field: str, fields: Mapping[str, object]) -> str | None:
    """The member that a card names, as fairseq2 0.8.1 reads it for these two fields."""
    if field not in {"checkpoint", "tokenizer"}:
        return None
    key = f"{field}_path"
    inside = maybe(fields.get(key), str, f"field {key!r} of {name}")
    return inside and _sound(inside, f"field {key!r} of {name}")


def _sound(uri: str, what: str) -> str:
    """Refuse what no file system and no URL can hold."""
    if "\0" in uri or "%00" in uri or any("\ud800" <= char <= "\udfff" for char in uri):
        raise RequestError(f"{what} holds a NUL or half a surrogate pair: {uri!a:.200}")
    return uri


def _kind(value: object) -> Kind | None:
    kind = maybe(value, str, "kind")
    if kind is not None and kind not in _KINDS.values():
        raise RequestError(f"kind must be one of {', '.join(_KINDS.values())}, not {kind!r}.")
    return cast("Kind | None", kind)


def _fields(found: Resolution, kind: Kind | None) -> list[str]:
    """Fields that hold something to fetch; `true`, say, only tells that there is a tokenizer."""
    wanted = [key for key in FIELDS if kind is None or _KINDS[key] == kind]
    return [key for key in wanted if isinstance(found.fields.get(key), str)]


def _first(found: Resolution) -> str | None:
    """``checksum:`` without a field's name speaks of the card's main file."""
    return next(iter(_fields(found, None)), None)


def _checksum(value: object, what: str) -> str | Mapping[str, str] | None:
    if isinstance(value, Mapping):
        return {check(k, str, what): check(v, str, what) for k, v in value.items()}
    return maybe(value, str, what)
