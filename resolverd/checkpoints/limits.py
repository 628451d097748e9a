"""What bounds a download; frozen, sent to the worker when it starts."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """Settings of the engine.

    Attributes:
        concurrency: Downloads at a time.
        host_concurrency: Downloads at a time from one host; 0: as many as there are.
        large_bytes: A download of so many bytes is a large one: these never take every slot.
        bandwidth: Bytes a second that all downloads may take together; 0: as many as come.
        host_bandwidth: The same, of one host.
        connections: Connections for one large file.
        part_bytes: A file is fetched in parallel in parts of this size.
        attempts: Tries without progress before a download is given up.
        stall_timeout: Seconds without a byte after which a connection is given up.
        min_rate: Bytes a second that a connection must bring on average, or be given up; 0: any.
        min_rate_seconds: Over how long that is measured.
        connect_timeout: Seconds for a connection to be made.
        backoff: Seconds before the second try, doubled for each further one.
        backoff_most: Upper bound of that.
        retry_after_most: A server that asks to wait longer than this is not waited for.
        redirects: Redirects followed for one request.
        journal_bytes: Bytes after which what was fetched is made durable and journalled. Each time
            the disk's own journal holds writers up: at 64 MiB a third of the throughput was lost.
        journal_seconds: The same, in seconds.
        max_bytes: What the cache may take in all: published, unpacked, on its way and quarantined
            files; None: as much as there is.
        min_free_bytes: Room that a download must leave on the file system.
        archive_ratio: An archive may unpack to this many times its size (and 64 MiB more).
        archive_bytes: Bytes an archive may unpack to, whatever its size.
        archive_files: Files and folders an archive may hold.
        partial_days: Partial downloads that nobody resumed for so long are removed.
        quarantine_most: Quarantined files kept.
        quarantine_bytes: Bytes of quarantined files kept.
        scrub_seconds: Published objects are hashed again once in so long; 0: never.
        scrub_rate: Bytes a second of that, at most.
    """

    concurrency: int = 4
    host_concurrency: int = 0
    large_bytes: int = 64 * MIB
    bandwidth: int = 0
    host_bandwidth: int = 0
    connections: int = 4
    part_bytes: int = 64 * MIB
    attempts: int = 8
    stall_timeout: float = 30.0
    min_rate: int = 1 << 10
    min_rate_seconds: float = 60.0
    connect_timeout: float = 10.0
    backoff: float = 0.5
    backoff_most: float = 30.0
    retry_after_most: float = 300.0
    redirects: int = 10
    journal_bytes: int = 1024 * MIB
    journal_seconds: float = 2.0
    max_bytes: int | None = None
    min_free_bytes: int = 1 << 30
    archive_ratio: int = 200
    archive_bytes: int = 1 << 40
    archive_files: int = 1_000_000
    partial_days: float = 7.0
    quarantine_most: int = 3
    quarantine_bytes: int = 16 << 30
    scrub_seconds: float = 30 * 86400.0
    scrub_rate: int = 50 * MIB
