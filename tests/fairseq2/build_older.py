"""Fetches older versions of fairseq2, to be run in the environment that build_env.py has made.

    .fairseq2-env/bin/python tests/fairseq2/build_older.py [DIR]

DIR is ``.fairseq2-older`` at the project's root unless given here or in RESOLVERD_FAIRSEQ2_OLDER.
Each version gets a folder of its own, by pip, without what it depends on.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

VERSIONS = ("0.5.0", "0.5.1", "0.5.2", "0.6", "0.7.0", "0.8.0")
LEGACY = ("0.2.0", "0.2.1", "0.3.0", "0.4.0", "0.4.6")
"""Before extensions."""


def default_dir() -> Path:
    """Where the versions are when nothing else is said."""
    named = os.environ.get("RESOLVERD_FAIRSEQ2_OLDER")
    return Path(named) if named else Path(__file__).resolve().parents[2] / ".fairseq2-older"


def main() -> None:
    """Fetch what is missing."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else default_dir()
    for version in (*LEGACY, *VERSIONS):
        target = folder / version
        if not (target / "fairseq2").is_dir():
            wanted = ["--no-deps", "--target", str(target), f"fairseq2=={version}"]
            subprocess.run([sys.executable, "-m", "pip", "install", "-qq", *wanted], check=True)
        print(f"{target} is ready")


if __name__ == "__main__":
    main()
