"""Frozen settings: what an operator may set, where each value came from, and what is wrong with it.

Layers, later ones win: defaults, the TOML file, the environment (``RESOLVERD_TABLE__KEY``), the
command line. The result is validated as a whole; :class:`~resolverd.errors.ConfigError` names every
problem at once.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Annotated, Any, Literal, get_origin

import msgspec
from msgspec import Meta

from resolverd import rule_settings
from resolverd.errors import ConfigError
from resolverd.rule_settings import RuleSettings

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ENV_PREFIX = "RESOLVERD_"
SYSTEM_CONFIG = "/etc/resolverd/config.toml"

_BYTE = r"(25[0-5]|2[0-4]\d|1?\d?\d)"
_PORT = r"(6553[0-5]|655[0-2]\d|65[0-4]\d\d|6[0-4]\d{3}|[1-5]\d{4}|[1-9]\d{0,3})"
LOOPBACK_OR_PATH = rf"^(/.+|(127(\.{_BYTE}){{3}}|localhost|\[::1\]):{_PORT})$"

_UNITS = {"": 1, "b": 1, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40,
          "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}  # fmt: skip

_SPANS = {"": 1, "s": 1, "min": 60, "h": 3600, "d": 86400, "w": 604800}


class Bytes(int):
    """A number of bytes, worded as ``10737418240`` or ``"10 GiB"``."""

    @classmethod
    def read(cls, value: object) -> Bytes:
        """Read what an operator writes.

        Raises:
            ValueError: It is no number of bytes.
        """
        found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]*)", str(value).strip().lower())
        if isinstance(value, (bool, float)) or not found or found[2] not in _UNITS:
            raise ValueError(f"no number of bytes: {value!r}")
        return cls(float(found[1]) * _UNITS[found[2]])


class Quota(Bytes):
    """A number of bytes above 0, as a bound of nothing would hold nothing."""

    @classmethod
    def read(cls, value: object) -> Quota:
        """Read what an operator writes.

        Raises:
            ValueError: It is no number of bytes, or 0.
        """
        if (found := Bytes.read(value)) == 0:
            raise ValueError("a quota of 0 bytes")
        return cls(found)


class Span(float):
    """A length of time in seconds, worded as ``90`` or ``"30d"``."""

    @classmethod
    def read(cls, value: object) -> Span:
        """Read what an operator writes.

        Raises:
            ValueError: It is no length of time.
        """
        found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]*)", str(value).strip().lower())
        if isinstance(value, bool) or not found or found[2] not in _SPANS:
            raise ValueError(f"no length of time: {value!r}")
        return cls(float(found[1]) * _SPANS[found[2]])


class DaemonSettings(msgspec.Struct, frozen=True):
    """Table ``[daemon]``.

    Attributes:
        socket: Path to listen on; unset: the system path for root, else the user path.
        socket_mode: Permission bits of the socket, octal text.
        log_level: Least severe level that is logged.
        max_connections: Open client connections in all.
    """

    socket: Annotated[Path | None, Meta(description="a path")] = None
    socket_mode: Annotated[
        str, Meta(pattern="^0?[0-7]{3}$", description="octal permission bits such as '0660'")
    ] = "0666"
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        Meta(description="debug, info, warning or error"),
    ] = "info"
    max_connections: Annotated[
        int, Meta(ge=1, le=100_000, description="an integer from 1 to 100000")
    ] = 8192


class StoreSettings(msgspec.Struct, frozen=True):
    """Table ``[stores]``.

    Attributes:
        paths: Stores, the first wins: a directory, a file, or ``package:NAME[@SITE_DIR]``. Empty:
            fairseq2 0.8.1's own list.
        environment: Environment of the cluster, fairseq2's ``name@env`` cards; None for none.
        poll: ``auto`` polls what inotify can't see (network file systems), ``always`` polls all.
        poll_interval: Seconds between two polls, at least.
    """

    paths: Annotated[tuple[str, ...], Meta(description="a list of paths or package:NAME")] = ()
    environment: Annotated[
        Annotated[str, Meta(pattern=r"^[^@\s]+$")] | None,
        Meta(description="a name without '@' or spaces"),
    ] = None
    poll: Annotated[Literal["auto", "always"], Meta(description="auto or always")] = "auto"
    poll_interval: Annotated[
        float, Meta(ge=0.05, le=3600, description="seconds from 0.05 to 3600")
    ] = 1.0


class CacheSettings(msgspec.Struct, frozen=True):
    """Table ``[cache]``.

    Attributes:
        dir: Where checkpoints live; unset: ``$CACHE_DIRECTORY`` (systemd), ``/var/cache/resolverd``
            for root, else ``$XDG_CACHE_HOME/resolverd``.
        max_bytes: What the cache may take in all, unfinished and quarantined files included; what
            was not used for longest gives way. Unset: as much as ``min_free_bytes`` allows.
        min_free_bytes: Room that a download must leave on the file system.
        quarantine_bytes: What may be kept in quarantine; it counts for ``max_bytes``.
        scrub: How often each published object is hashed again in the background; 0: never.
        scrub_rate: Bytes a second that this may read.
        admin_group: Group whose members may pin and remove what is cached, beside root and the
            daemon's own user.
    """

    dir: Annotated[Path | None, Meta(description="a path")] = None
    max_bytes: Annotated[
        Quota | None, Meta(description="a number of bytes above 0, or text such as '500 GiB'")
    ] = None
    min_free_bytes: Annotated[
        Bytes, Meta(description="a number of bytes, or text such as '10 GiB'")
    ] = Bytes(1 << 30)
    quarantine_bytes: Annotated[
        Bytes, Meta(description="a number of bytes, or text such as '16 GiB'")
    ] = Bytes(16 << 30)
    scrub: Annotated[
        Span, Meta(description="seconds, or text such as '30d', '12h' or '90min'; 0 for never")
    ] = Span(30 * 86400)
    scrub_rate: Annotated[
        Quota, Meta(description="a number of bytes above 0, or text such as '50 MiB'")
    ] = Quota(50 << 20)
    admin_group: Annotated[
        Annotated[str, Meta(min_length=1)] | None, Meta(description="the name of a group")
    ] = None


class FetchSettings(msgspec.Struct, frozen=True):
    """Table ``[fetch]``.

    Attributes:
        concurrency: Downloads at a time; large ones (of 64 MiB and more) leave a quarter of these,
            and one at least, to small ones.
        host_concurrency: Downloads at a time from one host, as the URI names it (of ``hg``, ``s3``
            and ``file``: from all of that scheme); 0: as many as ``concurrency``.
        connections: Connections for one large file, at most: it gets more than one as long as the
            origin is what it waits for.
        bandwidth: Bytes a second that all downloads may take together; 0: as many as come.
        host_bandwidth: Bytes a second that downloads may take from one such host; 0: as many as
            come.
        attempts: Tries of one download, the first included.
        stall_timeout: Seconds without a byte after which a connection is given up.
        journal_seconds: Seconds after which what has arrived is made durable and written down: a
            crash or a power cut costs no more than came since. The disk holds a download up each
            time.
        min_rate: Bytes a second that a connection must bring over a minute, or be given up; 0: any.
        schemes: What a card or a client may make the daemon fetch from.
        prefetch: Names of cards whose checkpoints are fetched before anybody asks, and again when
            the card changes; ``*``, ``?`` and ``[...]`` as in a shell.
        file_roots: Folders that ``file://`` sources may lie in; empty: the stores' own folders for
            a system daemon, anywhere for a user's.
        rules: What holds for URIs that begin with a prefix: mirrors, proxies, tokens, who may read.
    """

    concurrency: Annotated[int, Meta(ge=1, le=64, description="an integer from 1 to 64")] = 4
    host_concurrency: Annotated[int, Meta(ge=0, le=64, description="an integer from 0 to 64")] = 0
    connections: Annotated[int, Meta(ge=1, le=64, description="an integer from 1 to 64")] = 4
    bandwidth: Annotated[
        Bytes, Meta(description="bytes a second, or text such as '500 MB'; 0 for no limit")
    ] = Bytes(0)
    host_bandwidth: Annotated[
        Bytes, Meta(description="bytes a second, or text such as '500 MB'; 0 for no limit")
    ] = Bytes(0)
    attempts: Annotated[int, Meta(ge=1, le=100, description="an integer from 1 to 100")] = 8
    stall_timeout: Annotated[float, Meta(gt=0, le=3600, description="seconds up to 3600")] = 30.0
    journal_seconds: Annotated[
        float, Meta(ge=0.05, le=600, description="seconds from 0.05 to 600")
    ] = 2.0
    min_rate: Annotated[
        Bytes, Meta(description="bytes a second, or text such as '10 KiB'; 0 for any")
    ] = Bytes(1 << 10)
    schemes: Annotated[
        tuple[Literal["http", "https", "file", "s3", "hg"], ...],
        Meta(description="a list of http, https, file, s3 and hg"),
    ] = ("http", "https", "file", "s3", "hg")
    prefetch: Annotated[tuple[str, ...], Meta(description="a list of names or patterns")] = ()
    file_roots: Annotated[tuple[Path, ...], Meta(description="a list of folders")] = ()
    rules: Annotated[tuple[RuleSettings, ...], Meta(description="tables [[fetch.rules]]")] = ()


class S3Settings(msgspec.Struct, frozen=True):
    """Table ``[s3]``: how ``s3://`` sources are reached.

    What is not set here is as Amazon's tools have it: ``AWS_*`` variables of the daemon,
    ``~/.aws/config``, ``~/.aws/credentials`` (or the systemd credential ``aws-credentials``).

    Attributes:
        endpoint: URL of a server other than Amazon's.
        region: Name of its region.
        profile: Section of Amazon's files; wins over keys in the environment.
        addressing: Whether buckets are named in the URL's ``path``, or in the host (``virtual``);
            ``auto``: in the path for an endpoint of one's own.
        anonymous: Never sign requests.
        instance_role: Use the credentials of the machine's or container's role.
    """

    endpoint: Annotated[
        Annotated[str, Meta(pattern=r"^https?://[^/@\s]+(/[^@\s]*)?$")] | None,
        Meta(description="a URL such as https://minio.example.com:9000, without a user in it"),
    ] = None
    region: Annotated[
        Annotated[str, Meta(pattern=r"^[a-z0-9-]{1,40}$")] | None,
        Meta(description="a region such as 'us-east-1'"),
    ] = None
    profile: Annotated[
        Annotated[str, Meta(min_length=1)] | None, Meta(description="a profile's name")
    ] = None
    addressing: Annotated[
        Literal["auto", "path", "virtual"], Meta(description="auto, path or virtual")
    ] = "auto"
    anonymous: Annotated[bool, Meta(description="true or false")] = False
    instance_role: Annotated[bool, Meta(description="true or false")] = False


class HubSettings(msgspec.Struct, frozen=True):
    """Table ``[hub]``: how ``hg://`` repositories of the Hugging Face Hub are reached.

    What is not set here is as huggingface_hub has it: ``HF_ENDPOINT``, ``HF_TOKEN``, and the file
    that ``hf auth login`` writes (``HF_TOKEN_PATH``, ``HF_HOME``), all of the daemon's user.

    Attributes:
        endpoint: URL of the Hub, or of a mirror that speaks its protocol.
        token_file: A file that holds the token and that the daemon alone can read; wins over the
            token in the environment.
    """

    endpoint: Annotated[
        Annotated[str, Meta(pattern=r"^https?://[^/@\s]+(/[^@\s]*)?$")] | None,
        Meta(description="a URL such as https://hub.example.com, without a user in it"),
    ] = None
    token_file: Annotated[Path | None, Meta(description="a path")] = None


class MetricsSettings(msgspec.Struct, frozen=True):
    """Table ``[metrics]``: off unless ``listen`` or ``textfile`` is set.

    Attributes:
        listen: Where Prometheus may ask: a port of a loopback address, or the path of a Unix
            socket, which gets the permission bits of the daemon's own.
        textfile: File that is replaced again and again, for node_exporter's textfile collector.
        textfile_interval: Seconds between two writes of it.
    """

    listen: Annotated[
        Annotated[str, Meta(pattern=LOOPBACK_OR_PATH)] | None,
        Meta(description="a loopback address such as '127.0.0.1:9464', or a socket's whole path"),
    ] = None
    textfile: Annotated[
        Annotated[str, Meta(pattern=r"^/.+\.prom$")] | None,
        Meta(description="a whole path that ends with .prom, the only files node_exporter reads"),
    ] = None
    textfile_interval: Annotated[
        float, Meta(ge=1, le=3600, description="seconds from 1 to 3600")
    ] = 15.0


class Settings(msgspec.Struct, frozen=True):
    """All of the configuration, one attribute a table."""

    daemon: DaemonSettings = DaemonSettings()
    stores: StoreSettings = StoreSettings()
    cache: CacheSettings = CacheSettings()
    fetch: FetchSettings = FetchSettings()
    s3: S3Settings = S3Settings()
    hub: HubSettings = HubSettings()
    metrics: MetricsSettings = MetricsSettings()


_TABLES: Mapping[str, type[msgspec.Struct]] = {
    "daemon": DaemonSettings,
    "stores": StoreSettings,
    "cache": CacheSettings,
    "fetch": FetchSettings,
    "s3": S3Settings,
    "hub": HubSettings,
    "metrics": MetricsSettings,
}

AT_START = frozenset(("daemon.socket", "daemon.socket_mode", "cache.dir"))
"""The keys that only a restart applies; a running daemon applies all others."""

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
    problems: list[tuple[str, str]] = []
    tables = {name: _table(name, values, problems) for name, values in merged.items()}
    problems += _told_to_all(file, tables.get("fetch"))
    if problems:
        environment = _from_environment(environ)
        raise ConfigError("\n".join(_placed(*each, file, environment) for each in problems))
    return Settings(**tables)


def needs_restart(old: Settings, new: Settings) -> list[str]:
    """Name the keys whose change a running daemon can't apply.

    Args:
        old: What it started with, or applied since.
        new: What the configuration says now.

    Returns:
        Such as ``cache.dir``, in the order of the tables.
    """
    keys = [f"{name}.{key}" for name, table in _TABLES.items() for key in table.__struct_fields__]
    return [key for key in keys if key in AT_START and attrgetter(key)(old) != attrgetter(key)(new)]


def default_file(*, system: bool, environ: Mapping[str, str]) -> Path | None:
    """Where the configuration is looked for when no ``--config`` is given; None if there is none.

    Args:
        system: Whether the daemon serves the whole node.
        environ: For ``CONFIGURATION_DIRECTORY``, set by systemd for ``ConfigurationDirectory=``,
            and ``XDG_CONFIG_HOME``, where a user's own daemon looks.
    """
    home = environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    path = Path(SYSTEM_CONFIG) if system else Path(home, "resolverd", "config.toml")
    if handed := environ.get("CONFIGURATION_DIRECTORY"):
        path = Path(handed.split(":")[0], path.name)
    return path if os.path.isfile(path) else None  # also where a folder above may not be entered


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
    """Read a list as TOML writes it; all else stays text, and becomes what its key asks for."""
    if not text.lstrip().startswith("["):
        return text
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _placed(key: str, fault: str, file: Path | None, environment: Layer) -> str:
    """Word a problem with where it comes from: a variable, or the file."""
    table, _, name = key.partition(".")
    name = name.partition("[")[0]
    if name in environment.get(table, {}) or (table in environment and table not in _TABLES):
        variable = ENV_PREFIX + "__".join(filter(None, (table, name))).upper()
        return f"environment variable {variable}{key[len(table) + 1 + len(name) :]}: {fault}"
    return f"{file}: {key}: {fault}" if file else f"{key}: {fault}"


def _table(name: str, values: object, problems: list[tuple[str, str]]) -> Any:
    """Validate one table, noting everything that is wrong with it."""
    table = _TABLES.get(name)
    if table is None:
        problems.append((name, f"there is no such table; allowed: {', '.join(_TABLES)}"))
        return None
    if not isinstance(values, Mapping):
        problems.append((name, f"{_shown(values)} is not allowed: it is a table"))
        return None
    fields = {field.name: field for field in msgspec.structs.fields(table)}
    checked = {}
    for key, value in values.items():
        if key not in fields:
            allowed = ", ".join(fields)
            problems.append((f"{name}.{key}", f"there is no such key; allowed: {allowed}"))
            continue
        if (name, key) == ("fetch", "rules"):
            note = partial(_note, problems)
            checked[key] = rule_settings.read(value, note)
            continue
        try:
            checked[key] = _convert(value, fields[key].type)
        except msgspec.ValidationError:
            (meta,) = fields[key].type.__metadata__
            fault = f"{_shown(value)} is not allowed: it takes {meta.description}"
            problems.append((f"{name}.{key}", fault))
    return table(**checked) if len(checked) == len(values) else None


def _note(problems: list[tuple[str, str]], below: str, fault: str) -> None:
    problems.append((f"fetch.rules{below}", fault))


def _told_to_all(file: Path | None, fetch: FetchSettings | None) -> list[tuple[str, str]]:
    """The problem that others can read a token in the file."""
    if file is None or fetch is None or not any(rule.token for rule in fetch.rules):
        return []
    if not file.stat().st_mode & 0o077:
        return []
    return [("fetch.rules", f"others can read a token in it: chmod 600 {file}, or use token_file")]


def _convert(value: object, kind: Any) -> Any:
    if isinstance(value, str) and get_origin(kind.__origin__) is tuple:
        value = (value,)  # one entry needs no brackets
    return msgspec.convert(value, kind, strict=False, dec_hook=_decode)


def _decode(kind: type, value: object) -> object:
    """Read the types that msgspec does not know."""
    if issubclass(kind, (Bytes, Span)):
        return kind.read(value)
    if kind is Path and isinstance(value, (str, Path)) and str(value):
        return Path(value)
    raise ValueError(f"no {kind.__name__}")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
