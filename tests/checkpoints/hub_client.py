"""Asks the real huggingface_hub, of whichever version the interpreter that runs this has.

Takes a JSON object of ``snapshot_download``'s arguments. Prints JSON: the version, and the path and
the files of the snapshot, or the name and text of what was raised; ``scan`` adds what
``scan_cache_dir`` thinks of the cache.
"""

from __future__ import annotations

import json
import os
import sys

import huggingface_hub


def main() -> None:
    arguments = json.loads(sys.argv[1])
    scan = arguments.pop("scan", False)
    answer: dict[str, object] = {"version": huggingface_hub.__version__}
    try:
        path = huggingface_hub.snapshot_download(**arguments)
    except Exception as error:  # noqa: BLE001  # whatever it raises is its answer
        answer |= {"error": type(error).__name__, "text": str(error)}
    else:
        found = [
            os.path.relpath(os.path.join(place, name), path)
            for place, _, names in os.walk(path)
            for name in names
        ]
        answer |= {"path": path, "files": sorted(found)}
    if scan:
        info = huggingface_hub.scan_cache_dir(arguments["cache_dir"])
        answer["warnings"] = [str(warning) for warning in info.warnings]
        answer["revisions"] = {
            revision.commit_hash: sorted(revision.refs)
            for repo in info.repos
            for revision in repo.revisions
        }
        answer["bytes"] = info.size_on_disk
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
