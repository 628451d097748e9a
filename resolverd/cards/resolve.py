"""A card with its environment's override and its base chain, as fairseq2 0.8.1 retrieves it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast
from urllib.parse import urlparse, urlunparse

from resolverd.cards.card import Card, Codec
from resolverd.cards.index import Index
from resolverd.errors import CardError


@dataclass(frozen=True, slots=True)
class Layer:
    """What one card of the chain contributes.

    Attributes:
        card: The card.
        env: The environment it is for; empty for a plain card.
        fields: Its own fields.
    """

    card: Card
    env: str
    fields: dict[str, object]


@dataclass(frozen=True, slots=True)
class Resolution:
    """A card and all that it takes from others.

    Attributes:
        name: The stem asked for.
        fields: All fields; of one field the nearest layer's. ``__base_path__`` is the leaf's.
        layers: Nearest first: the leaf's override, the leaf, its base's override, its base, ...
        provenance: For each field the layer it came from.
    """

    name: str
    fields: dict[str, object]
    layers: tuple[Layer, ...]
    provenance: dict[str, Layer]


def environments(default: str | None) -> tuple[str, ...]:
    """Order the environments in which to look for an override.

    Args:
        default: The configured environment, if any.

    Returns:
        ``user`` first, as in fairseq2, then the configured one.
    """
    default = default.strip() if default else ""
    return ("user", default) if default else ("user",)


def resolve(index: Index, name: str, envs: Sequence[str], codec: Codec) -> Resolution | None:
    """Retrieve a card as fairseq2's asset store does.

    Args:
        index: All cards.
        name: ``stem``; or ``stem@env``, which looks in that environment only, ``stem@`` in none.
        envs: Environments to look in for ``stem``; the first that has an override wins.
        codec: Unpacks the fields.

    Returns:
        The card; None when there is none of that name.

    Raises:
        CardError: A base does not exist, or the chain never ends.
    """
    stem, at, env = name.partition("@")
    stem, env = stem.strip(), env.strip()
    if at:
        envs = (env,) if env else ()
    layers = _layers(index, stem, envs, codec)
    if not layers:
        return None
    fields: dict[str, object] = {}
    provenance: dict[str, Layer] = {}
    for layer in reversed(layers):
        fields.update(layer.fields)
        provenance.update(dict.fromkeys(layer.fields, layer))
    return Resolution(stem, fields, tuple(layers), provenance)


def source_uri(resolution: Resolution, field: str) -> str:
    """Give the URI in a field, as fairseq2's ``AssetCardField.as_uri``.

    Args:
        resolution: The card.
        field: Name of the field.

    Returns:
        The URI; a path is taken relative to the directory of the leaf, also when inherited.

    Raises:
        CardError: The card has no such field, or it is no string.
    """
    name = resolution.name
    if field not in resolution.fields:
        raise CardError(f"{name} asset card does not have a field named {field}.")
    value = resolution.fields[field]
    if not isinstance(value, str):
        raise CardError(
            f"{field} field of the {name} asset card is expected to be of type `str`, "
            f"but is of type `{type(value).__name__}` instead."
        )
    return _uri(value) or _path_uri(resolution, field, value)


def _layers(index: Index, leaf: str, envs: Sequence[str], codec: Codec) -> list[Layer]:
    layers: list[Layer] = []
    seen: dict[str, None] = {}
    stem: object = leaf
    while isinstance(stem, str):
        if stem in seen:
            raise CardError(
                f"The base chain of the {leaf} asset card never ends: "
                f"{' -> '.join([*seen][-8:])} -> {stem}."
            )
        seen[stem] = None
        found = _of_stem(index, stem, envs, codec)
        if not found:
            if layers:
                raise CardError(f"{stem} base asset of the {leaf} asset card does not exist.")
            return []
        layers += found
        stem = next((layer.fields["base"] for layer in found if "base" in layer.fields), None)
    return layers


def _of_stem(index: Index, stem: str, envs: Sequence[str], codec: Codec) -> list[Layer]:
    plain = index.cards.get(f"{stem}@") if stem else None
    if plain is None:
        return []
    layers = [Layer(plain, "", _fields(plain, codec))]
    for env in envs:
        override = index.cards.get(f"{stem}@{env}")
        if override is not None:
            layers.insert(0, Layer(override, env, _fields(override, codec)))
            break
    return layers


def _fields(card: Card, codec: Codec) -> dict[str, object]:
    return cast("dict[str, object]", codec.unpack(card.packed))


def _uri(value: str) -> str | None:
    try:
        parts = urlparse(value)
    except ValueError:
        return None
    return urlunparse(parts) if parts.scheme else None


def _path_uri(resolution: Resolution, field: str, value: str) -> str:
    path = Path(value)
    if not path.is_absolute():
        base = resolution.fields.get("__base_path__")
        if not isinstance(base, Path):
            raise CardError(
                f"{field} field of the {resolution.name} asset card is a relative pathname and "
                "cannot be converted to a URI."
            )
        path = base.joinpath(path)
    uri = path.as_uri()
    return _uri(uri) or uri  # parsed once more, as fairseq2 does: it matters to paths like //a/b
