"""Lines that are typed while a call is going on."""

from __future__ import annotations

import codecs
import os
import queue
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["Lines", "Prompt", "listen", "read_lines", "unechoed_keys"]

Lines = queue.SimpleQueue[str | None]
"""What the callee shall say, line by line, from any thread. None hangs up."""

_HANGUP = frozenset({"", "/hangup"})
_FIRST_PRINTABLE = " "


class Prompt:
    """A line that is being typed. Keys go in, finished lines come out."""

    def __init__(self) -> None:
        self.text = ""
        self.spoken = ""
        self._escape = False

    def feed(self, keys: str) -> list[str]:
        """Take what was typed; the lines that it finished."""
        finished = []
        for key in keys:
            if self._escape:
                self._escape = key in "[O;" or key.isdigit()
            elif key == "\x1b":
                self._escape = True
            elif key in "\r\n":
                finished.append(self.text)
                self.spoken, self.text = self.text.strip() or self.spoken, ""
            elif key in "\x7f\b":
                self.text = self.text[:-1]
            elif key == "\x15":
                self.text = ""
            elif key == "\x17":
                self.text = self.text.rstrip().rpartition(" ")[0]
            elif key == "\x04" and not self.text:
                finished.append("/hangup")
            elif key >= _FIRST_PRINTABLE:
                self.text += key
        return finished


def read_lines(fd: int, prompt: Prompt, lines: Lines) -> None:
    """Read a file descriptor to its end and pass on its lines; the end hangs up.

    It reads past Python's own buffer, whose lock a thread that waits for keys would hold at exit.
    """
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    while chunk := os.read(fd, 4096):
        for line in prompt.feed(decoder.decode(chunk)):
            lines.put(None if line.strip() in _HANGUP else line.strip())
    if prompt.text.strip():
        lines.put(prompt.text.strip())
    lines.put(None)


def listen(prompt: Prompt, lines: Lines) -> None:
    """Read standard input in a thread of its own, until its end or the end of the program."""
    arguments = (sys.stdin.fileno(), prompt, lines)
    threading.Thread(target=read_lines, args=arguments, name="patter-keyboard", daemon=True).start()


@contextmanager
def unechoed_keys() -> Iterator[None]:
    """Keep the terminal from writing keys into a picture, and hand them over one by one. Ctrl-C still interrupts."""
    restore = _cbreak(sys.stdin.fileno()) if sys.stdin is not None and sys.stdin.isatty() else _nothing
    try:
        yield
    finally:
        restore()


def _cbreak(fd: int) -> Callable[[], None]:
    """Take keys one by one and without an echo. Returns how to undo it."""
    try:
        import termios
        import tty
    except ImportError:  # Windows
        return _nothing
    before = termios.tcgetattr(fd)
    tty.setcbreak(fd)
    return lambda: termios.tcsetattr(fd, termios.TCSADRAIN, before)


def _nothing() -> None:
    """Leave the terminal as it is."""
