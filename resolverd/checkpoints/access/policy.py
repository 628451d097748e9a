"""What a card may make the daemon read. Pure: decides on text and addresses alone.

The addresses a host name resolves to are asked about again at the moment of connecting, so that
a name which leads to a forbidden address is refused too.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from resolverd.checkpoints.access.rules import EVERYONE, Readers, Rule, first
from resolverd.checkpoints.faults import Denied
from resolverd.checkpoints.sources.hub.settings import HubSettings
from resolverd.checkpoints.sources.s3.settings import S3Settings

_METADATA_NAMES = frozenset({"metadata", "metadata.google.internal", "instance-data"})
_METADATA = frozenset(
    ipaddress.ip_address(text)
    for text in ("100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254")
)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


@dataclass(frozen=True, slots=True)
class Policy:
    """Rules of access.

    Attributes:
        schemes: Schemes that may be fetched from.
        file_roots: Folders that local files may lie in, links resolved; None: anywhere.
        s3: How S3 is reached.
        hub: How the Hugging Face Hub is reached.
        rules: What holds for URIs that begin with a prefix.
        readers: Who may read what only a secret gave, where no rule says; see
            :data:`~resolverd.checkpoints.access.rules.Readers`.
    """

    schemes: tuple[str, ...] = ("http", "https", "file", "s3", "hg")
    file_roots: tuple[str, ...] | None = ()
    s3: S3Settings = field(default_factory=S3Settings)
    hub: HubSettings = field(default_factory=HubSettings)
    rules: tuple[Rule, ...] = ()
    readers: Readers = ()


def check_uri(policy: Policy, uri: str, shown: str) -> None:
    """Refuse a URI whose scheme is not allowed, or that a rule forbids.

    Raises:
        Denied: With what forbids it.
    """
    check_scheme(policy, uri.partition(":")[0].lower() if ":" in uri else "", shown)
    _check_rules(policy, uri, shown)


def readers_of(policy: Policy, uri: str, *, private: bool) -> Readers:
    """Who may read what was fetched from a URI.

    Args:
        policy: The rules of access.
        uri: As the card or the client words it, not a mirror's.
        private: Whether only those who hold a secret may read it where it was fetched. What has a
            token is private wherever a mirror got it from.
    """
    private = private or first(policy.rules, uri, lambda rule: rule.token) is not None
    named = first(policy.rules, uri, lambda rule: rule.readers)
    found = named if named is not None else (policy.readers if private else None)
    return None if found is None or EVERYONE in found else tuple(sorted(found))


def trusting(policy: Policy, prefix: str) -> Policy:
    """The policy for a mirror that the operator named: what is below ``prefix`` may be read."""
    rules = (*policy.rules, Rule(prefix, allow=True))
    roots = policy.file_roots
    if prefix.startswith("file://"):
        roots = (prefix.removeprefix("file://").rstrip("/"),)
    schemes = ("http", "https", "file", "s3", "hg")
    return replace(policy, schemes=schemes, file_roots=roots, rules=rules)


def proxied(policy: Policy, uri: str) -> Policy:
    """The policy for the URLs that a URI of another scheme leads to: its proxy is theirs."""
    proxy = first(policy.rules, uri, lambda rule: rule.proxy)
    if proxy is None:
        return policy
    others = (replace(rule, proxy=None) for rule in policy.rules)
    own = (Rule(f"{scheme}://", proxy=proxy) for scheme in ("http", "https"))
    return replace(policy, rules=(*others, *own))


def _check_rules(policy: Policy, url: str, shown: str) -> None:
    if first(policy.rules, url, lambda rule: rule.allow) is False:
        raise Denied(f"{shown}: a rule of this node's operator forbids it (setting fetch.rules).")


def check_scheme(policy: Policy, scheme: str, uri: str) -> None:
    """Refuse a scheme that is not allowed.

    Raises:
        Denied: With what is allowed.
    """
    if scheme not in policy.schemes:
        raise Denied(
            f"{uri}: scheme {scheme or 'none'!r} may not be fetched; "
            f"allowed: {', '.join(policy.schemes)} (setting fetch.schemes)."
        )


def check_url(policy: Policy, url: str, shown: str) -> None:
    """Refuse a URL whose scheme, or whose host as written, is not allowed.

    Raises:
        Denied: With the rule that forbids it.
    """
    parts = urlsplit(url)
    check_scheme(policy, parts.scheme.lower(), shown)
    _check_rules(policy, url, shown)
    host = (parts.hostname or "").rstrip(".")
    if not host:
        raise Denied(f"{shown}: names no host.")
    if host in _METADATA_NAMES:
        raise Denied(f"{shown}: {host} is a cloud's metadata service, which no card may read.")
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return
    check_address(host, shown)


def check_address(address: str, shown: str) -> None:
    """Refuse link-local, metadata, multicast and unspecified addresses.

    Raises:
        Denied: With the address.
    """
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped:
            found = found.ipv4_mapped
        elif found in _NAT64:
            found = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
    if found.is_link_local or found.is_multicast or found.is_unspecified or found in _METADATA:
        raise Denied(
            f"{shown}: {address} is a link-local or metadata address, which no card may read."
        )


def check_path(policy: Policy, real: str, shown: str) -> None:
    """Refuse a local file outside the allowed folders.

    Args:
        policy: The rules.
        real: The path with every link resolved.
        shown: What to call it.

    Raises:
        Denied: With the folders that are allowed.
    """
    _check_rules(policy, f"file://{real}", shown)
    if policy.file_roots is None or any(_within(real, root) for root in policy.file_roots):
        return
    allowed = ", ".join(policy.file_roots) or "none"
    raise Denied(
        f"{shown}: lies outside the allowed folders ({allowed}; setting fetch.file_roots)."
    )


def _within(path: str, root: str) -> bool:
    root = root.rstrip("/")
    return path == root or path.startswith(root + "/")


def resolved(roots: Iterable[str]) -> tuple[str, ...]:
    """Folders as :func:`check_path` compares them; given links already resolved by the caller."""
    return tuple(sorted({root.rstrip("/") or "/" for root in roots}))
