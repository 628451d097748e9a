"""``python -m resolverd.ctl``."""

from resolverd.ctl import main

main(prog_name="resolverctl")
