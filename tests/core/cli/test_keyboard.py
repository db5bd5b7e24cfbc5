import os
import queue

import pytest

from patter.cli.keyboard import Prompt, read_lines


@pytest.mark.parametrize(
    ("keys", "finished", "text"),
    [
        ("hello", [], "hello"),
        ("hello\n", ["hello"], ""),
        ("hello\r", ["hello"], ""),
        ("one\ntwo\nthr", ["one", "two"], "thr"),
        ("\n", [""], ""),
        ("helloo\x7f", [], "hello"),
        ("\x7fa", [], "a"),
        ("say that again\x17", [], "say that"),
        ("one\x17", [], ""),
        ("all of it\x15", [], ""),
        ("up\x1b[Adown\x1bOB\x1b[1;5C", [], "updown"),
        ("a\x00\x07b", [], "ab"),
        ("\x04", ["/hangup"], ""),
        ("words\x04", [], "words"),
        ("¿Qué? 你好\n", ["¿Qué? 你好"], ""),
    ],
)
def test_keys_make_lines(keys, finished, text):
    prompt = Prompt()
    assert prompt.feed(keys) == finished
    assert prompt.text == text


def test_the_last_words_are_remembered():
    prompt = Prompt()
    prompt.feed("hello\n")
    prompt.feed("\n")
    assert prompt.spoken == "hello"


@pytest.mark.parametrize(
    ("typed", "lines"),
    [
        (b"hello\nI have four thirty\n", ["hello", "I have four thirty", None]),
        (b"hello\nno end", ["hello", "no end", None]),
        (b"hello\n\n", ["hello", None, None]),
        (b" /hangup \n", [None, None]),
        (b"", [None]),
        ("schön\n".encode(), ["schön", None]),
        (b"\xff\n", ["\ufffd", None]),
    ],
)
def test_lines_are_passed_on_and_the_end_hangs_up(typed, lines):
    out, into = os.pipe()
    os.write(into, typed)
    os.close(into)
    found: queue.SimpleQueue = queue.SimpleQueue()
    read_lines(out, Prompt(), found)
    os.close(out)
    assert [found.get_nowait() for _ in range(found.qsize())] == lines
