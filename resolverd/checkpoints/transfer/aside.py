"""Calls that may block for long, made so that nobody has to wait for their end.

A name that is looked up, a connection that is made, an answer that does not come: nothing can
interrupt these. So they run in a thread of their own, which is left to itself when it is no longer
wanted; what it brings then is let go of.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Generic, NoReturn, TypeVar

from resolverd.checkpoints.faults import Cancelled

T = TypeVar("T")

Aborting = Callable[[Callable[[], None]], AbstractContextManager[None]]
"""Has something called while in its block, as soon as all is to end."""


class Aside(Generic[T]):
    """One such call.

    Args:
        call: What may block.
        discard: Lets go of what it gives, when nobody waits for that any more.
    """

    def __init__(self, call: Callable[[], T], discard: Callable[[T], None]) -> None:
        self._call = call
        self._discard = discard
        self._news = threading.Condition()
        self._given: list[T] = []
        self._error: BaseException | None = None
        self._left = False

    def result(self, aborting: Aborting, over: Callable[[], bool]) -> T:
        """Make the call, and wait for what it gives.

        Args:
            aborting: Has this wait end early.
            over: Whether all is to end.

        Raises:
            Cancelled: All ended first.
            BaseException: What the call raised.
        """
        threading.Thread(target=self._run, daemon=True).start()
        try:
            with aborting(self._wake), self._news:
                self._news.wait_for(lambda: self._given or self._error or over())
                if self._given:
                    return self._given.pop()
            self._raise()
        finally:
            self._leave()

    def _raise(self) -> NoReturn:
        error, self._error = self._error, None
        try:
            raise error or Cancelled
        finally:
            del error  # it would hold its own frame, and that all which the call has opened

    def _run(self) -> None:
        try:
            given = self._call()
        except BaseException as error:  # noqa: BLE001  # raised by who waits
            with self._news:
                if not self._left:
                    self._error = error
                self._news.notify_all()
            return
        with self._news:
            left = self._left
            if not left:
                self._given.append(given)
            self._news.notify_all()
        if left:
            self._discard(given)

    def _leave(self) -> None:
        with self._news:
            self._left = True
            unwanted = tuple(self._given)
        for given in unwanted:
            self._discard(given)

    def _wake(self) -> None:
        with self._news:
            self._news.notify_all()
