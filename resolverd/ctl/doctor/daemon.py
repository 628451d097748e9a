"""What the daemon says of itself, judged; pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from resolverd.ctl import output
from resolverd.ctl.doctor.finding import Finding, error, ok, warning

State = Mapping[str, Any]
_MANY_RESTARTS = 3


def versions(state: State | None, *, command: str, client: str) -> Finding:
    """Compare the versions of the daemon, of this command and of the client."""
    if state is None:
        return ok("versions", f"resolverctl {command}, client {client}")
    daemon = state["version"]
    text = f"daemon {daemon}, resolverctl {command}, client {client}"
    if daemon == command:
        return ok("versions", text)
    remedy = "restart the daemon after an upgrade: systemctl restart resolverd"
    return warning("versions", text, remedy)


def findings(state: State) -> list[Finding]:
    """Judge stores, cards, the worker and what is fetched unasked."""
    checkpoints = state["checkpoints"]
    warnings = [warning("daemon", text, "") for text in state["warnings"]]
    return [
        *warnings,
        *(_store(store) for store in state["stores"]),
        _cards(state),
        _worker(checkpoints["worker"]),
        *_prefetch(state.get("prefetch") or {"wanted": 0, "failed": []}),
    ]


def _store(store: State) -> Finding:
    about = f"{store['source']}: {output.count(store['cards'], 'card')}"
    if store.get("answering") is False:
        text = f"{about}; its file system does not answer"
        return error("store", text, "see to its server or mount; the last good cards are served")
    if store["state"] == "ok" or (store["state"] == "missing" and store["optional"]):
        return ok("store", about if store["state"] == "ok" else f"{about} (absent, as it may be)")
    reason = store["reason"] or store["state"]
    remedy = "mount or mend it; its last good cards are served, marked stale"
    return error("store", f"{about}; {reason}", remedy)


def _cards(state: State) -> Finding:
    text = f"{output.count(state['cards'], 'card')}, generation {state['generation']}"
    if not state["problem_count"]:
        return ok("cards", text)
    problems = output.count(state["problem_count"], "problem")
    return warning("cards", f"{text}, {problems}", "see them: resolverctl status")


def _worker(worker: State) -> Finding:
    restarts = worker["restarts"]
    if worker["pid"] is None:
        text = "the process that fetches and verifies does not run"
        return error("worker", text, "see why in the daemon's log; cards are served meanwhile")
    text = f"pid {worker['pid']}, {output.count(restarts, 'restart')}"
    if restarts >= _MANY_RESTARTS:
        return warning("worker", text, "see why in the daemon's log: memory, or a damaged disk?")
    return ok("worker", text)


def _prefetch(prefetch: State) -> list[Finding]:
    failed = len(prefetch["failed"])
    if not failed:
        return []
    text = f"{failed} of {prefetch['wanted']} files to be kept at hand can't be had"
    return [warning("prefetch", text, "see them: resolverctl status")]
