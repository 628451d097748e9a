"""Which file systems are polled, read from mount tables."""

from __future__ import annotations

import os

import pytest

from resolverd.stores.mounts import mount_of, needs_polling, parse_line, read_mounts

TABLE = r"""
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:25 / /dev/shm rw - tmpfs tmpfs rw
40 22 0:40 / /home rw shared:9 - nfs4 filer:/home rw,vers=4.2
41 22 0:41 / /data/with\040space rw - lustre mds@tcp:/fs rw
42 22 0:42 / /ovl rw - overlay overlay rw,lowerdir=/home/lower:/usr,upperdir=/dev/shm/up,workdir=/w
43 22 0:43 / /ovl2 rw - overlay overlay rw,lowerdir=/usr,upperdir=/dev/shm/up,workdir=/w
44 22 0:44 / /mnt/s3 rw - fuse.s3fs s3fs rw
45 22 0:45 / /over rw - nfs filer:/x rw
46 45 254:1 / /over rw - xfs /dev/vdb rw
47 22 0:47 / /etc/cards/team rw - cifs //host/team rw
48 22 0:48 / /mnt/plan9 rw - 9p host rw
"""
MOUNTS = [mount for line in TABLE.splitlines() if (mount := parse_line(line))]


@pytest.mark.parametrize(
    "path",
    [
        "/home/me/cards",
        "/home",
        "/data/with space/cards",
        "/ovl/cards",
        "/mnt/s3/bucket",
        "/mnt/plan9",
    ],
)
def test_a_store_on_a_shared_file_system_is_polled(path: str) -> None:
    assert needs_polling(path, MOUNTS) is not None


@pytest.mark.parametrize(
    "path", ["/srv/cards", "/dev/shm/x", "/ovl2/cards", "/over/x", "/homework"]
)
def test_a_store_on_a_local_file_system_is_watched(path: str) -> None:
    assert needs_polling(path, MOUNTS) is None


def test_a_local_store_with_a_shared_folder_inside_is_polled() -> None:
    reason = needs_polling("/etc/cards", MOUNTS)
    assert reason is not None
    assert "/etc/cards/team" in reason
    assert "cifs" in reason


def test_the_reason_of_an_overlay_names_what_it_covers() -> None:
    assert "overlay over nfs4" in (needs_polling("/ovl", MOUNTS) or "")


def test_lines_that_are_no_mounts_are_passed_over() -> None:
    assert parse_line("") is None
    assert parse_line("nonsense") is None
    assert parse_line("1 2 3 - ext4") is None


def test_the_mount_table_of_this_machine_has_a_root() -> None:
    mounts = read_mounts()
    assert mount_of("/proc/self", mounts) is not None
    assert mount_of(os.getcwd(), mounts) is not None


def test_without_a_mount_table_nothing_is_polled() -> None:
    assert read_mounts("/nowhere/mountinfo") == []
    assert needs_polling("/home", []) is None
