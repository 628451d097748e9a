"""The manifests on disk: what is known of each object."""

from __future__ import annotations

from resolverd.checkpoints.asset import manifest as manifests
from resolverd.checkpoints.asset.manifest import Manifest
from resolverd.checkpoints.disk.durable import write
from resolverd.checkpoints.disk.layout import Layout


def read_manifest(layout: Layout, key: str, holding: bytes = b"") -> Manifest | None:
    """A manifest by the object's name; None when it is missing, damaged or does not hold a word.

    Of many that are looked through, only those that hold it have to be parsed.
    """
    try:
        with open(layout.manifest(key), "rb") as file:
            data = file.read()
    except OSError:
        return None
    return manifests.load(data) if holding in data else None


def record(layout: Layout, manifest: Manifest) -> None:
    """Write down what is known of an object."""
    write(layout.manifest(manifest.key), manifests.dump(manifest))
