"""An opt-in signal hook, for programs whose framework cannot cancel a tool: it hangs up before the interrupt.

A framework that runs its tools in worker threads and waits for them in the main thread passes no Ctrl-C on
to a call: the call goes on until it ends by itself, and the interrupted program waits for it::

    with hang_up_on_signals(phone):
        crew.kickoff()

The handler takes no lock and starts no thread, because the code it interrupts may hold any lock: it asks a
thread that is there already, and waits for it. A signal that comes meanwhile is not made to wait.
"""

from __future__ import annotations

import logging
import os
import queue
import signal
import sys
import threading
import time
from types import FrameType, TracebackType
from typing import Any, Protocol

from patter.errors import ConfigError
from patter.phone import Patter

__all__ = ["HasPhone", "SignalHook", "hang_up_on_signals"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_PATIENCE_S = 10.0
"""Stopping a phone is bounded itself, by 8 s for its calls."""
_STEP_S = 0.1

_log = logging.getLogger("patter")


class HasPhone(Protocol):
    """A tool on a phone: `PatterTool`, or an adapter's form of it."""

    @property
    def phone(self) -> Patter: ...


def hang_up_on_signals(phone: Patter | HasPhone) -> SignalHook:
    """On SIGINT and SIGTERM, stop the phone first, and then do what would have been done without the hook.

    Stopping hangs up every live call and waits, at most 10 s, until the carrier was told. It also refuses
    further calls, with `PhoneStopped`: worker threads outlive an interrupt, and an agent in one of them
    would dial again. ``await phone.start()`` allows calls again. A signal that was ignored stays ignored.

    Args:
        phone: the phone, or a tool on it.

    Returns:
        The hook, installed. Leaving it as a context, or `SignalHook.undo`, restores the former handlers.

    Raises:
        ConfigError: this is not the main thread, which alone may handle signals, or a signal is handled by
            other than Python code.
    """
    return SignalHook(phone if isinstance(phone, Patter) else phone.phone)


class _Order:
    """One signal that waits for the phone to be stopped."""

    def __init__(self, signum: int, *, comes_again: bool) -> None:
        self.signum = signum
        self.comes_again = comes_again
        self.over = threading.Event()


class SignalHook:
    """The installed hook; see `hang_up_on_signals`."""

    def __init__(self, phone: Patter) -> None:
        if threading.current_thread() is not threading.main_thread():
            raise ConfigError("Signals are handled in the main thread. Call hang_up_on_signals() there.")
        self._phone = phone
        self._pid = os.getpid()
        self._is_active = True
        self._order: _Order | None = None
        self._orders: queue.SimpleQueue[_Order | None] = queue.SimpleQueue()
        self._former: dict[int, Any] = {}
        for signum in _SIGNALS:
            former = signal.getsignal(signum)
            if former is None:
                raise ConfigError(f"{signum.name} is handled by other than Python code; call phone.stop() from there.")
            if former is not signal.SIG_IGN:
                self._former[signum] = former
        threading.Thread(target=self._serve, name="patter-signals", daemon=True).start()
        for taken in self._former:
            signal.signal(taken, self._handle)

    def undo(self) -> None:
        """Restore the former handlers. Call it in the main thread; a second time does nothing.

        A handler that was installed on top of the hook stays, and finds the hook passing signals on.
        """
        if not self._is_active:
            return
        self._is_active = False
        for signum, former in self._former.items():
            if signal.getsignal(signum) == self._handle:
                signal.signal(signum, former)
        self._orders.put(None)

    def __enter__(self) -> SignalHook:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.undo()

    # --- in the main thread, between any two steps of the program ---------------------------------

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        """Never logs and never asks for the engine, whose locks the interrupted code may hold."""
        # In a forked child the phone's calls are the parent's, and the thread is not there.
        if self._order is not None or not self._is_active or os.getpid() != self._pid:
            self._order = None
            self._pass_on(signum, frame)
            return
        order = self._order = _Order(signum, comes_again=self._lives_here())
        self._orders.put(order)
        if order.comes_again:
            return  # the loop below this very frame has to hang up
        try:
            last = time.monotonic() + _PATIENCE_S
            # In steps, because a second signal that the system hands to another thread ends no wait of this one.
            while not order.over.wait(_STEP_S) and time.monotonic() < last:
                pass
        finally:
            self._order = None
        self._pass_on(signum, frame)

    def _lives_here(self) -> bool:
        """True if the phone's loop is this thread's, because the host's own server runs it."""
        try:
            return self._phone.is_hosted and self._phone.engine.is_here
        except ConfigError:  # its server is not running
            return False

    def _pass_on(self, signum: int, frame: FrameType | None) -> None:
        former = self._former[signum]
        if callable(former):
            former(signum, frame)
        else:
            signal.signal(signum, signal.SIG_DFL)
            signal.raise_signal(signum)

    # --- in the hook's own thread -----------------------------------------------------------------

    def _serve(self) -> None:
        while (order := self._orders.get()) is not None:
            try:
                self._phone.engine.run_sync(lambda _: self._phone.stop())
            except Exception as error:  # whatever became of it, the signal is due
                _log.warning("The phone was not stopped on a signal: %s.", type(error).__name__)
            order.over.set()
            if order.comes_again and self._order is order:
                _send_to_main_thread(order.signum)


def _send_to_main_thread(signum: int) -> None:
    main = threading.main_thread().ident
    if sys.platform == "win32" or main is None:
        signal.raise_signal(signum)
    else:  # sent to another thread, it would not end a wait of the main thread
        signal.pthread_kill(main, signum)
