"""Which members of an archive may be made. Pure.

The rules are stricter than those of tar and zip: two members for one path, a path that another
system takes for one, a link that leads out on any way. None of it is in a checkpoint by intent.
"""

from __future__ import annotations

import os
import unicodedata
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from resolverd.checkpoints.archive.members import Kind, Member
from resolverd.checkpoints.limits import MIB, Limits
from resolverd.checkpoints.space.eviction import occupied
from resolverd.errors import SourceError

_SPARE = 64 * MIB
_NAME_MOST = 255  # bytes: NAME_MAX
_PATH_MOST = 2048  # bytes: half of PATH_MAX, which holds the cache's own folders too
_HOPS_MOST = 40  # as the kernel follows


@dataclass(frozen=True, slots=True)
class _Place:
    """What was admitted to one path."""

    path: str
    kind: Kind
    size: int = 0


@dataclass(slots=True)
class Rules:
    """One archive's members, as they are admitted one by one.

    Attributes:
        name: The archive's.
        packed: Bytes of the archive.
        limits: How much it may unpack to.
        taken: Bytes that those admitted take on a disk.
    """

    name: str
    packed: int
    limits: Limits
    _seen: dict[str, _Place] = field(default_factory=dict)
    _links: dict[str, str] = field(default_factory=dict)
    _files: int = 0
    _size: int = 0
    taken: int = 0

    def admit(self, member: Member) -> str:
        """Take in one more member.

        Returns:
            Its path below the folder.

        Raises:
            SourceError: When it may not be made.
        """
        clean = os.path.normpath(member.name) if member.name else ""
        reason = member.fault or _misnamed(member, clean) or self._misplaced(member, clean)
        if reason is None:
            self._take(member, clean)
            reason = self._excess()
        if reason is not None:
            raise self.refusal(member.name, reason)
        return clean

    def close(self) -> None:
        """Take in that there are no more members.

        Raises:
            SourceError: When a link leads out, which only all of them together tell.
        """
        for link in self._links:
            if leads_out(link, self._links):
                raise self.refusal(link, "links out of the archive, or in a circle")
        if not self._files:
            raise SourceError(f"{self.name}: the archive holds no file.")

    def refusal(self, member: str, reason: str) -> SourceError:
        """The error that names a member."""
        return SourceError(f"{self.name}: member {member!r} {reason}: refused.")

    def _misplaced(self, member: Member, clean: str) -> str | None:
        """What the members before it have against one."""
        for above in _above(clean):
            place = self._seen.get(_folded(above))
            if place and place.kind != "folder":
                return "lies behind a link or a file"
            if place and place.path != above:
                return f"lies in what differs from {place.path!r} by letter case or encoding alone"
        place = self._seen.get(_folded(clean))
        if place and place.path != clean:
            return f"differs from {place.path!r} by letter case or encoding alone"
        if place and not member.kind == place.kind == "folder":
            return "is there twice"
        if member.kind == "hard link" and self._linked(member) is None:
            return f"is a hard link to {member.target!r}, which is no file before it"
        return None

    def _linked(self, member: Member) -> _Place | None:
        """The file that a hard link repeats; it is made as a copy."""
        target = os.path.normpath(member.target)
        place = self._seen.get(_folded(target))
        fits = place and place.path == target and place.kind in {"file", "hard link"}
        return place if fits else None

    def _take(self, member: Member, clean: str) -> None:
        for above in _above(clean):
            self._seen.setdefault(_folded(above), _Place(above, "folder"))
        linked = self._linked(member) if member.kind == "hard link" else None
        size = linked.size if linked else member.size
        self._seen[_folded(clean)] = _Place(clean, member.kind, size)
        if member.kind == "link":
            self._links[clean] = member.target
        elif member.kind != "folder":
            self._files += 1
            self._size += size
            self.taken += occupied(size)

    def _excess(self) -> str | None:
        ratio, files, size = (
            self.limits.archive_ratio,
            self.limits.archive_files,
            self.limits.archive_bytes,
        )
        if len(self._seen) > files:
            return f"is one more than {files:,} files and folders, which is more than is allowed"
        if self._size > self.packed * ratio + _SPARE:
            return f"unpacks to more than {ratio} times the archive, which is more than is allowed"
        if self._size > size:
            return f"unpacks to more than {size:,} bytes, which is more than is allowed"
        return None


def leads_out(link: str, links: Mapping[str, str]) -> bool:
    """Whether a symbolic link leads out of the folder, or nowhere at all, through all others.

    Args:
        link: Its path.
        links: What each link of the folder says.
    """
    here = link.split("/")
    todo, hops = deque((here.pop(),)), 0
    while todo:
        part = todo.popleft()
        if part in {"", "."}:
            continue
        if part == "..":
            if not here:
                return True
            here.pop()
            continue
        target = links.get("/".join((*here, part)))
        if target is None:
            here.append(part)
            continue
        hops += 1
        if hops > _HOPS_MOST or target.startswith("/"):
            return True
        todo.extendleft(reversed(target.split("/")))
    return False


def _misnamed(member: Member, clean: str) -> str | None:
    """What is wrong with a member by itself."""
    parts = member.name.replace("\\", "/").split("/")
    target = member.target.encode("utf-8", "surrogateescape")
    faults = (
        (member.kind == "other", "is neither a file, a folder nor a link"),
        (member.name.startswith("/") or ".." in parts, "leads out of the archive"),
        ("\0" in member.name or b"\0" in target, "has a name with a zero byte"),
        (clean in {"", "."} and member.kind != "folder", "has no name"),
        (_too_long(clean) or len(target) > _PATH_MOST, "has a name that is too long"),
        (member.kind == "link" and not member.target, "is a link to nothing"),
        (member.size < 0, "has fewer than no bytes"),
    )
    return next((reason for wrong, reason in faults if wrong), None)


def _too_long(clean: str) -> bool:
    encoded = clean.encode("utf-8", "surrogateescape")
    return len(encoded) > _PATH_MOST or any(len(p) > _NAME_MOST for p in encoded.split(b"/"))


def _above(path: str) -> Iterator[str]:
    while path := os.path.dirname(path):
        yield path


def _folded(path: str) -> str:
    """What file systems that fold letter case, or normalise Unicode, take for one path."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())
