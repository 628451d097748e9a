"""Frozen settings: what an operator may set, where each value came from, and what is wrong with it.

Layers, later ones win: defaults, the TOML file, the environment (``RESOLVERD_TABLE__KEY``), the
command line. The result is validated as a whole; :class:`~resolverd.errors.ConfigError` names every
problem at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ByteSize, ConfigDict, Field, ValidationError, field_validator

from resolverd.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ENV_PREFIX = "RESOLVERD_"
SYSTEM_CONFIG = "/etc/resolverd/config.toml"

Scheme = Literal["http", "https", "file"]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)


class DaemonSettings(_Table):
    """Table ``[daemon]``.

    Attributes:
        socket: Path to listen on; unset: the system path for root, else the user path.
        socket_mode: Permission bits of the socket, octal text.
        log_level: Least severe level that is logged.
        max_connections: Open client connections in all.
    """

    socket: Path | None = None
    socket_mode: Annotated[str, Field(pattern=r"^0?[0-7]{3}$")] = "0666"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    max_connections: Annotated[int, Field(ge=1, le=100_000)] = 8192


class StoreSettings(_Table):
    """Table ``[stores]``.

    Attributes:
        paths: Stores, the first wins: a directory, a file, or ``package:NAME[@SITE_DIR]``. Empty:
            fairseq2 0.8.1's own list.
        environment: Environment of the cluster, fairseq2's ``name@env`` cards; None for none.
        poll: ``auto`` polls what inotify can't see (network file systems), ``always`` polls all.
        poll_interval: Seconds between two polls, at least.
    """

    paths: tuple[str, ...] = ()
    environment: str | None = None
    poll: Literal["auto", "always"] = "auto"
    poll_interval: Annotated[float, Field(ge=0.05, le=3600)] = 1.0

    @field_validator("paths", mode="before")
    @classmethod
    def _one_is_a_list(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @field_validator("environment")
    @classmethod
    def _no_at_sign(cls, value: str | None) -> str | None:
        if value is not None and (not value.strip() or "@" in value):
            raise ValueError("must be a name without '@'")
        return None if value is None else value.strip()


class CacheSettings(_Table):
    """Table ``[cache]``.

    Attributes:
        dir: Where checkpoints live; unset: ``$CACHE_DIRECTORY`` (systemd), ``/var/cache/resolverd``
            for root, else ``$XDG_CACHE_HOME/resolverd``.
        min_free_bytes: Room that a download must leave on the file system.
    """

    dir: Path | None = None
    min_free_bytes: ByteSize = ByteSize(1 << 30)


class FetchSettings(_Table):
    """Table ``[fetch]``.

    Attributes:
        concurrency: Downloads at a time.
        connections: Connections for one large file.
        attempts: Tries of one download, the first included.
        stall_timeout: Seconds without a byte after which a connection is given up.
        schemes: What a card or a client may make the daemon fetch from.
        file_roots: Folders that ``file://`` sources may lie in; empty: none for a system daemon,
            any for a user's own.
    """

    concurrency: Annotated[int, Field(ge=1, le=64)] = 4
    connections: Annotated[int, Field(ge=1, le=64)] = 4
    attempts: Annotated[int, Field(ge=1, le=100)] = 8
    stall_timeout: Annotated[float, Field(gt=0, le=3600)] = 30.0
    schemes: tuple[Scheme, ...] = ("http", "https", "file")
    file_roots: tuple[Path, ...] = ()


class Settings(_Table):
    """All of the configuration, one attribute a table."""

    daemon: DaemonSettings = DaemonSettings()
    stores: StoreSettings = StoreSettings()
    cache: CacheSettings = CacheSettings()
    fetch: FetchSettings = FetchSettings()


Layer = Mapping[str, Mapping[str, object]]


def load(file: Path | None, environ: Mapping[str, str], flags: Layer | None = None) -> Settings:
    """Read, merge and validate every layer.

    Args:
        file: The TOML file, or None for no file.
        environ: The environment; only ``RESOLVERD_TABLE__KEY`` names are looked at.
        flags: Values given on the command line, by table and key.

    Returns:
        The settings.

    Raises:
        ConfigError: With every problem, one a line: key, value, what is allowed.
    """
    merged: dict[str, object] = dict(_read(file)) if file else {}
    for layer in (_from_environment(environ), flags or {}):
        for table, values in layer.items():
            below = merged.get(table, {})
            merged[table] = {**below, **values} if isinstance(below, Mapping) else below
    try:
        return Settings.model_validate(merged)
    except ValidationError as error:
        where = f"{file}: " if file else ""
        raise ConfigError("\n".join(where + line for line in _explain(error))) from None


def default_file(*, system: bool, environ: Mapping[str, str]) -> Path | None:
    """Where the configuration is looked for when no ``--config`` is given; None if there is none.

    Args:
        system: Whether the daemon serves the whole node.
        environ: For ``XDG_CONFIG_HOME``, where a user's own daemon looks.
    """
    home = environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    path = Path(SYSTEM_CONFIG) if system else Path(home, "resolverd", "config.toml")
    return path if path.is_file() else None


def default_cache_dir(*, system: bool, environ: Mapping[str, str]) -> Path:
    """Where the cache is kept when the configuration does not say."""
    if handed := environ.get("CACHE_DIRECTORY"):  # set by systemd for CacheDirectory=
        return Path(handed.split(":")[0])
    if system:
        return Path("/var/cache/resolverd")
    home = environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(home, "resolverd")


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}. Check the path.") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file}: is not UTF-8 (byte {error.start}).") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file}: is not TOML: {error}.") from None


def _from_environment(environ: Mapping[str, str]) -> dict[str, dict[str, object]]:
    layer: dict[str, dict[str, object]] = {}
    for name, text in environ.items():
        if name.startswith(ENV_PREFIX) and "__" in name:
            table, key = name[len(ENV_PREFIX) :].lower().split("__", 1)
            layer.setdefault(table, {})[key] = _value(text)
    return layer


def _value(text: str) -> object:
    """Read a variable as a TOML value where it is one (``true``, ``[...]``), else as plain text."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _explain(error: ValidationError) -> Iterator[str]:
    for fault in error.errors(include_url=False):
        place = [str(part) for part in fault["loc"]]
        key = ".".join(place)
        if fault["type"] == "extra_forbidden":
            yield f"{key}: there is no such key; allowed: {', '.join(_known(place[:-1]))}"
        else:
            yield f"{key}: {_shown(fault['input'])} is not allowed: {fault['msg'].lower()}"


def _known(place: list[str]) -> list[str]:
    model: type[BaseModel] = Settings
    for part in place:
        annotation = model.model_fields[part].annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            model = annotation
    return list(model.model_fields)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
