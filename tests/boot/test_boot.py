"""A real boot: systemd, the units as installed, and the checks of ``inside/`` run by a unit."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.boot.machine import boot, missing

SECONDS = 240
REASON = missing()


@pytest.mark.boot
@pytest.mark.timeout(900)
@pytest.mark.skipif(REASON is not None, reason=REASON or "")
def test_what_must_hold_in_a_booted_system_holds(tmp_path: Path) -> None:
    passed, told = boot(tmp_path, SECONDS)
    sys.stdout.write(told)
    assert passed, "what the checks and the journal say is in the captured output"
