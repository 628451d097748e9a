"""``python -m resolverd``."""

from resolverd.cli import main

main()
