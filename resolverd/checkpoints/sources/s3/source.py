"""One ``s3://`` URI, for one download: an object, or all that is below a key."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from urllib3.exceptions import HTTPError
from urllib3.response import BaseHTTPResponse

from resolverd.checkpoints.access import policy
from resolverd.checkpoints.access.policy import Policy
from resolverd.checkpoints.access.rules import first
from resolverd.checkpoints.asset import digest
from resolverd.checkpoints.asset.digest import Digest
from resolverd.checkpoints.asset.plan import Range
from resolverd.checkpoints.asset.target import Wanted
from resolverd.checkpoints.faults import Changed, Transient
from resolverd.checkpoints.limits import Limits
from resolverd.checkpoints.sources import names
from resolverd.checkpoints.sources.base import Listing, RemoteFile
from resolverd.checkpoints.sources.http.connections import Connections
from resolverd.checkpoints.sources.http.dialect import Dialect
from resolverd.checkpoints.sources.http.headers import Answer, described
from resolverd.checkpoints.sources.http.source import HttpSource
from resolverd.checkpoints.sources.http.transfer import HttpTransfer
from resolverd.checkpoints.sources.s3 import answers, errors
from resolverd.checkpoints.sources.s3.access import Access
from resolverd.checkpoints.sources.s3.errors import Elsewhere, Expired, Missing
from resolverd.checkpoints.sources.s3.location import located
from resolverd.checkpoints.sources.s3.settings import S3Settings
from resolverd.errors import SourceError

_LISTING_MOST = 8 << 20  # bytes of one page: a thousand keys of 1 KiB, each byte as %XX
_FILES_MOST = 100_000
_FOLDER = "etags:"
_CHECKSUMS = {"x-amz-checksum-mode": "ENABLED"}


class S3Source:
    """One URI, for one download. ``open`` may be called by several threads.

    Args:
        wanted: Which.
        limits: Bounds of the download.
        rules: What may be read, and how S3 is reached.
    """

    def __init__(self, wanted: Wanted, limits: Limits, rules: Policy) -> None:
        self._shown = wanted.shown
        self._place = located(wanted.normal)
        self._limits = limits
        self._access = Access(self._shown, _settings(rules, wanted.normal), os.environ)
        sign = self._access.sign
        means = policy.proxied(rules, wanted.normal)
        means = policy.trusting(means, self._access.endpoint.realm)
        self._connections = Connections(self._shown, limits, means, sign, follow=False)
        self._objects: dict[str, HttpSource] = {}

    def resolve(self, known: str | None = None, gap: Range | None = None) -> Listing | None:
        """Ask for the object; where there is none, for all that is below the key."""
        try:
            return self._resolved(known, gap)
        except Elsewhere as error:
            self._access.move(error.region)
            self._objects.clear()
            return self._resolved(known, gap)

    def open(self, file: RemoteFile, start: int, end: int | None) -> HttpTransfer:
        """Request a part of the version that was listed."""
        try:
            return self._object(file.locator).open(file, start, end)
        except Missing as error:
            raise Changed(str(error)) from error

    def sidecar(self, file: RemoteFile) -> Digest | None:
        """Request the object ``KEY.sha256``; whatever goes wrong, there is none."""
        return self._object(file.locator).sidecar(file)

    def close(self) -> None:
        """Close every connection."""
        for source in self._objects.values():
            source.close()
        self._connections.close()

    def _resolved(self, known: str | None, gap: Range | None) -> Listing | None:
        if not self._place.folder:
            try:
                return self._single(known, gap)
            except Missing:
                if (listing := self._folder()) is None:
                    raise
        elif (listing := self._folder()) is None:
            raise SourceError(f"{self._shown}: nothing is below it: check the URI in the card.")
        return None if listing.stamp == known else listing

    def _single(self, known: str | None, gap: Range | None) -> Listing | None:
        one = known if known and not known.startswith(_FOLDER) else None
        listing = self._object(self._place.key).resolve(one, gap)
        if listing is None:
            return None
        (file,) = listing.files
        key = self._place.key
        file = replace(file, name=key.rpartition("/")[2], locator=key)
        if {said.algorithm for said in file.digests} <= {"md5"}:
            # The answer to a range does not tell the checksum of the whole.
            file = replace(file, digests=self._digests(file) or file.digests)
        return Listing((file,), file.stamp, self._access.signs)

    def _folder(self) -> Listing | None:
        """Every object below the key; None when there is none."""
        start = f"{self._place.key}/" if self._place.key else ""
        entries = [entry for entry in self._entries(start) if not entry.key.endswith("/")]
        if not entries:
            return None
        names = [entry.key.removeprefix(start) for entry in entries]
        _refuse_names(names, self._shown)
        files = [
            RemoteFile(name, entry.size, f"etag:{entry.etag}", ranges=True, locator=entry.key)
            for name, entry in zip(names, entries, strict=True)
        ]
        with ThreadPoolExecutor(self._limits.connections) as pool:
            said = list(pool.map(self._digests, files))
        files = [replace(file, digests=each) for file, each in zip(files, said, strict=True)]
        stamp = digest.of_many({file.name: file.stamp or "" for file in files})
        return Listing(tuple(files), f"{_FOLDER}{stamp.hex}", self._access.signs)

    def _entries(self, start: str) -> Iterator[answers.Entry]:
        query = {"encoding-type": "url", "list-type": "2", "prefix": start}
        count = 0
        while True:
            page = answers.page(self._listed(query), self._shown)
            count += len(page.entries)
            if count > _FILES_MOST:
                raise SourceError(
                    f"{self._shown}: more than {_FILES_MOST:,} objects are below it: name a "
                    "longer key."
                )
            yield from page.entries
            if page.following is None:
                return
            query["continuation-token"] = page.following

    def _listed(self, query: Mapping[str, str]) -> bytes:
        url = self._access.endpoint.url_of(self._place.bucket, "", query)
        response, _ = self._connections.get(url, {})
        with response:
            self._refuse(response, self._shown)
            try:
                return response.read(_LISTING_MOST, decode_content=True)
            except (HTTPError, OSError) as error:
                raise Transient(f"{self._shown}: the listing broke off: {error}.") from error

    def _digests(self, file: RemoteFile) -> tuple[Digest, ...]:
        """What the server says the whole object hashes to, when it is still the one listed."""
        response, _ = self._connections.get(self._url(file.locator), _CHECKSUMS, "HEAD")
        with response:
            headers = {key.lower(): value for key, value in response.headers.items()}
            fits = response.status == 200 and f"etag:{headers.get('etag')}" == file.stamp
            return answers.digests(headers) if fits else ()

    def _object(self, key: str) -> HttpSource:
        if (found := self._objects.get(key)) is not None:
            return found
        dialect = Dialect(_CHECKSUMS, "If-Match", self._refuse, _described)
        made = HttpSource(self._url(key), self._limits, self._connections, dialect)
        return self._objects.setdefault(key, made)

    def _url(self, key: str) -> str:
        version = self._place.version
        query = {"versionId": version} if version else None
        return self._access.endpoint.url_of(self._place.bucket, key, query)

    def _refuse(self, response: BaseHTTPResponse, name: str) -> None:
        try:
            errors.refuse(response, name, signed=self._access.signs)
        except Expired:
            self._access.forget()  # the next try looks for newer ones
            raise


def _described(response: BaseHTTPResponse, url: str, name: str) -> Answer:
    """Read an answer that brings an object, or a part of one."""
    answer = described(response, url, name)
    headers = {key.lower(): value for key, value in response.headers.items()}
    return replace(answer, file=replace(answer.file, digests=answers.digests(headers)))


def _settings(rules: Policy, uri: str) -> S3Settings:
    """How this URI's server is reached: as its rule says, else as all others."""
    own, every = rules.s3, rules.rules
    return replace(
        own,
        endpoint=first(every, uri, lambda rule: rule.endpoint) or own.endpoint,
        region=first(every, uri, lambda rule: rule.region) or own.region,
        profile=first(every, uri, lambda rule: rule.profile) or own.profile,
    )


def _refuse_names(keys: list[str], shown: str) -> None:
    """Refuse keys that no folder can hold."""
    for key in keys:
        if not names.is_sound(key):
            raise SourceError(f"{shown}: the key {key!r} is no name that a file can have.")
    if clash := names.clash(keys):
        raise SourceError(f"{shown}: {clash!r} is an object, and a folder of others.")
