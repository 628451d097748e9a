"""What an operator does to the cache: the worker's part, one function for each of its messages."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any

from resolverd.checkpoints import disk
from resolverd.checkpoints.intake.fetch import Engine
from resolverd.checkpoints.process.job import Job


def pin(engine: Engine, _job: Job, params: dict[str, Any]) -> dict[str, Any]:
    """Pin assets or objects: ``names``, pairs of the name and what the operator called it."""
    with disk.explained(engine.layout):
        for name, shown in params["names"]:
            engine.room.pin(name, shown, time.time())
    return {}


def unpin(engine: Engine, _job: Job, params: dict[str, Any]) -> dict[str, Any]:
    """Remove the pins of ``names``; what only they held back now gives way where it must."""
    with disk.explained(engine.layout):
        found = [engine.room.unpin(name) for name in params["names"]]
        engine.room.fit()
    return {"found": found}


def remove(engine: Engine, _job: Job, params: dict[str, Any]) -> dict[str, Any]:
    """Remove ``names``; ``force``: also what is pinned."""
    with disk.explained(engine.layout):
        found = [engine.room.remove(name, force=params["force"]) for name in params["names"]]
    return {
        "rows": [[{**asdict(item), "reason": reason} for item, reason in rows] for rows in found]
    }


def collect(engine: Engine, _job: Job, params: dict[str, Any]) -> dict[str, Any]:
    """Clean up, down to ``to`` bytes; with ``dry_run`` only tell what would go."""
    with disk.explained(engine.layout):
        chosen = engine.room.collect(params["to"], dry_run=params["dry_run"])
    return {"rows": [asdict(item) for item in chosen]}


def reopen(engine: Engine, _job: Job, params: dict[str, Any]) -> dict[str, Any]:
    """Have leases on the object ``key`` be given again."""
    with disk.explained(engine.layout):
        return {"was_closed": engine.room.reopen(params["key"])}
