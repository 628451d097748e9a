"""Builds the environment that holds the real fairseq2 0.8.1, for the differential tests only.

    python tests/fairseq2/build_env.py [DIR]

DIR is ``.fairseq2-env`` at the project's root unless given here or in RESOLVERD_FAIRSEQ2_ENV. The
environment is made for the interpreter that runs this script and filled by pip, with the arguments
of RESOLVERD_PIP_ARGS added (say, an index that has CPU builds of torch). A stamp, written last,
says by which text of this script it was built: when it matches there is nothing to do, and an
environment without it is never taken for complete.

fairseq2 and torch are installed without their dependencies: of fairseq2's, only what its asset code
imports is needed, and of torch's, none of the CUDA libraries. The native part of fairseq2
(fairseq2n) wants one CUDA build of torch, and asset code never calls it: a stub takes its place.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

# Without dependencies: see above.
ALONE = ("fairseq2==0.8.1", "torch==2.13.0")

# What the two import, in the versions that fairseq2 0.8.1 declares.
IMPORTED = (
    "clusterscope~=0.0.31",
    "fsspec>=2024.1",
    "huggingface_hub~=0.32",
    "importlib_metadata~=7.0",
    "importlib_resources~=6.4",
    "mypy-extensions~=1.0",
    "numpy",
    "packaging~=24.1",
    "psutil~=5.9",
    "rich~=14.2",
    "ruamel.yaml~=0.18",
    "safetensors~=0.6",
    "tiktoken~=0.12",
    "torcheval~=0.0.6",
    "transformers~=4.57",
    "typing_extensions~=4.12",
    # torch's own
    "filelock",
    "jinja2",
    "networkx",
    "sympy",
)

# DOC_MODE is fairseq2's own switch for "built without the native library".
STUB = (
    '"""Stands in for the native part of fairseq2."""\n\n__version__ = "0.8.1"\nDOC_MODE = True\n'
)

PROBE = "import torch, fairseq2.composition"

STAMP = "built-by"


def default_dir() -> Path:
    """The environment's directory when none is named on the command line."""
    named = os.environ.get("RESOLVERD_FAIRSEQ2_ENV")
    return Path(named) if named else Path(__file__).resolve().parents[2] / ".fairseq2-env"


def python_of(env: Path) -> Path:
    """The environment's interpreter."""
    return env / "bin" / "python"


def fingerprint() -> str:
    """What the stamp holds when an environment is up to date."""
    return hashlib.sha256(Path(__file__).read_bytes()).hexdigest()


def is_up_to_date(env: Path) -> bool:
    """Whether ``env`` was completely built by this very script and still has its interpreter."""
    try:
        return (env / STAMP).read_text() == fingerprint() and python_of(env).exists()
    except OSError:
        return False


def build(env: Path) -> None:
    """Make ``env`` anew, whatever was there before.

    Raises:
        SystemExit: with what to do about it, when that can't be done.
    """
    if env.exists() and any(env.iterdir()) and not (env / "pyvenv.cfg").exists():
        raise SystemExit(f"{env} is not a virtual environment: name another directory")
    shutil.rmtree(env, ignore_errors=True)
    run([sys.executable, "-m", "venv", str(env)], "python's venv and ensurepip modules are needed")
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    pip(
        env,
        ["--no-deps", *ALONE],
        f"fairseq2 0.8.1 or torch 2.13.0 can't be had for Python {version} from where pip looks: "
        "run this script with another interpreter, or name an index in RESOLVERD_PIP_ARGS",
    )
    pip(env, ["--no-warn-conflicts", *IMPORTED], "pip can't install what fairseq2 0.8.1 imports")
    [packages] = (env / "lib").glob("python*/site-packages")
    (packages / "fairseq2n.py").write_text(STUB)
    # pip compiles what it installs unless it is told not to: without, a start costs 10 s, not 4.
    subprocess.run([python_of(env), "-m", "compileall", "-qq", "-j", "0", packages], check=False)
    run(
        [str(python_of(env)), "-c", PROBE],
        "fairseq2 does not import. If libraries of CUDA are missing, pip took a CUDA build of "
        "torch: add the index of torch's CPU builds with RESOLVERD_PIP_ARGS",
    )
    (env / STAMP).write_text(fingerprint())


def pip(env: Path, arguments: list[str], remedy: str) -> None:
    """Run ``pip install`` in ``env``."""
    extra = shlex.split(os.environ.get("RESOLVERD_PIP_ARGS", ""))
    # Twice quiet: errors only.
    run([str(python_of(env)), "-m", "pip", "install", "-qq", *extra, *arguments], remedy)


def run(command: list[str], remedy: str) -> None:
    """Run ``command``; its failure ends this script with ``remedy`` as the last line."""
    if code := subprocess.run(command, check=False).returncode:
        raise SystemExit(f"\n{shlex.join(command)} failed ({code}).\n{remedy}")


def main() -> None:
    """Build the environment unless it is up to date."""
    if len(sys.argv) > 2 or sys.argv[1:2] in (["-h"], ["--help"]):
        raise SystemExit(__doc__)
    env = (Path(sys.argv[1]) if len(sys.argv) > 1 else default_dir()).absolute()
    env.parent.mkdir(parents=True, exist_ok=True)
    lock = os.open(env.parent, os.O_RDONLY)
    # Two builders at once: the second waits, then finds everything done.
    fcntl.flock(lock, fcntl.LOCK_EX)
    if is_up_to_date(env):
        print(f"{env} is up to date")
        return
    print(f"building {env} (some minutes, some 1.5 GB)", flush=True)
    build(env)
    print(f"{env} is ready")


if __name__ == "__main__":
    main()
