"""One repository of the Hub, for one download.

The revision is resolved to a commit once; the listing, and every file of it, is that commit's, so
that a branch which moves meanwhile changes nothing. Files are named by their content: what the
commit says they hash to is what they are verified against.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from urllib3.response import BaseHTTPResponse

from resolverd.checkpoints.access.policy import Policy, proxied
from resolverd.checkpoints.asset.digest import Digest
from resolverd.checkpoints.asset.plan import Range
from resolverd.checkpoints.asset.target import Wanted
from resolverd.checkpoints.faults import Changed, RangesIgnored
from resolverd.checkpoints.limits import Limits
from resolverd.checkpoints.sources.base import Listing, RemoteFile
from resolverd.checkpoints.sources.http.connections import Connections
from resolverd.checkpoints.sources.http.errors import printable, refuse_status
from resolverd.checkpoints.sources.http.headers import Answer, described
from resolverd.checkpoints.sources.http.transfer import HttpTransfer
from resolverd.checkpoints.sources.hub import access, listing
from resolverd.checkpoints.sources.hub.endpoint import Endpoint, spent
from resolverd.checkpoints.sources.hub.errors import Asked, Missing
from resolverd.errors import SourceError

_EXPIRED = {400, 401, 403, 404, 410}


class HubSource:
    """One repository, for one download. ``open`` may be called by several threads.

    Args:
        wanted: Which, and for what.
        limits: Bounds of the download.
        rules: What may be read, and how the Hub is reached.
    """

    def __init__(self, wanted: Wanted, limits: Limits, rules: Policy) -> None:
        self._wanted = wanted
        self._repository = wanted.repository
        rules = proxied(rules, wanted.normal)
        self._url = access.endpoint(rules.hub, os.environ)
        token = access.token_for(wanted.normal, rules, os.environ)
        self._known = token is not None
        asked = Asked(wanted.shown, self._repository, self._url, self._known)
        self._hub = Endpoint(asked, token, limits, rules)
        means = replace(rules, schemes=("http", "https"))
        self._elsewhere = Connections(wanted.shown, limits, means)
        self._places: dict[str, str] = {}
        self._commit = ""

    def resolve(self, known: str | None = None, gap: Range | None = None) -> Listing | None:
        """Ask which commit the revision is at, and for that commit's files."""
        about = self._about()
        self._commit = about.commit
        self._places.clear()
        stamp = f"commit:{self._commit}"
        if stamp == known:
            return None
        files = listing.chosen(self._entries(), self._wanted.kind, self._wanted.shown)
        return Listing(files, stamp, private=self._known and about.restricted)

    def open(self, file: RemoteFile, start: int, end: int | None) -> HttpTransfer:
        """Request a part of a file, from wherever the Hub keeps it."""
        whole = start == 0 and end in {None, file.size}
        last = "" if end is None else end - 1
        response, url = self._answer(file, {} if whole else {"Range": f"bytes={start}-{last}"})
        try:
            refuse_status(response, self._wanted.shown)
            answer = described(response, url, self._wanted.shown)
            _refuse_other_part(answer, file, start, self._wanted.shown)
        except SourceError:
            response.close()
            raise
        return HttpTransfer(response, self._wanted.shown, start, answer.end or file.size)

    def sidecar(self, file: RemoteFile) -> Digest | None:
        """The commit has said what each file hashes to."""
        return None

    def close(self) -> None:
        """Close every connection."""
        self._hub.close()
        self._elsewhere.close()

    def _about(self) -> listing.About:
        if preferred := self._wanted.commit:
            with contextlib.suppress(Missing):
                return self._about_revision(preferred)
        return self._about_revision(self._repository.revision)

    def _about_revision(self, revision: str) -> listing.About:
        body, _ = self._hub.read(f"{self._api}/revision/{quote(revision, safe='')}")
        return listing.about(body, self._wanted.shown)

    @property
    def _api(self) -> str:
        return f"{self._url}/api/{self._repository.type}/{self._repository.id}"

    def _entries(self) -> Iterator[Mapping[str, Any]]:
        """Every file of the commit, page by page."""
        url: str | None = f"{self._api}/tree/{self._commit}?recursive=true&expand=false"
        count = 0
        while url is not None:
            body, link = self._hub.read(url)
            entries = listing.page(body, self._wanted.shown)
            count += len(entries) or 1  # pages without a file are bounded, too
            if count > listing.FILES_MOST:
                raise SourceError(
                    f"{self._wanted.shown}: has more than {listing.FILES_MOST:,} files."
                )
            yield from entries
            url = listing.following(link, url)

    def _answer(self, file: RemoteFile, wish: Mapping[str, str]) -> tuple[BaseHTTPResponse, str]:
        """The answer that brings a file; asks the Hub again only when what it said is too old.

        Each request counts against the Hub's limits, so that parts of one file share its answer.
        """
        place = self._places.get(file.name)
        if place is not None:
            response, url = self._elsewhere.get(place, wish)
            if response.status not in _EXPIRED:
                return response, url
            response.close()
        path = quote(file.name)
        asked = f"{self._url}/{self._repository.page}/resolve/{self._commit}/{path}"
        try:
            response, place = self._hub.get(asked, wish)
        except Missing as error:
            raise Changed(f"{self._wanted.shown}: commit {self._commit} is gone.") from error
        try:
            _refuse_other_file(response, file, self._commit, self._wanted.shown)
        except SourceError:
            response.close()
            raise
        if place is None:
            return response, asked
        spent(response)
        self._places[file.name] = place
        return self._elsewhere.get(place, wish)


def _refuse_other_file(
    response: BaseHTTPResponse, file: RemoteFile, commit: str, shown: str
) -> None:
    """Refuse an answer that speaks of another file than the commit lists, before it is fetched."""
    headers = response.headers
    known = {digest.hex for digest in file.digests}
    listed = {"X-Repo-Commit": {commit}, "X-Linked-Size": {str(file.size)}, "X-Linked-Etag": known}
    for name, right in listed.items():
        said = headers.get(name, "").removeprefix("W/").strip('"')
        if said and said not in right:
            raise SourceError(
                f"{shown}: the Hub lists {file.name} with {name} {', '.join(right)}, and gives "
                f"{printable(said)!r}: try again later, or tell the Hub."
            )


def _refuse_other_part(answer: Answer, file: RemoteFile, start: int, shown: str) -> None:
    """Refuse what is not the part that was asked for, of the file that was listed."""
    size = answer.file.size
    if size not in {None, file.size}:
        raise SourceError(
            f"{shown}: {file.name} has {size} bytes where it is kept, and {file.size} in the "
            "repository's listing."
        )
    if answer.start != start:
        raise RangesIgnored(f"{shown}: the server ignores ranges.")
