"""Text made searchable: documents cut into passages, and words in the form in which they are compared."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

__all__ = ["PASSAGE_CHARS", "cut", "query_words", "words"]

PASSAGE_CHARS = 600
"""The longest passage: a few paragraphs, of which five are read to a mind at once."""

_MOST_QUERY_WORDS = 32
_SHORTEST_STEM = 4
_ENDINGS = ("en", "em", "er", "es", "e", "s", "n")

# Chinese and Japanese have no spaces: there each sign is a word.
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W_]+")
_PARAGRAPHS = re.compile(r"\n\s*\n")
_SENTENCES = re.compile(r"(?<=[.!?…:;])\s+|(?<=[。！？])|\n")
# An umlaut is also written as two letters, and as one without its dots.
_UMLAUTS = re.compile(r"([ao])e|(?<!q)(u)e")

_COMMON = frozenset(
    _UMLAUTS.sub(r"\1\2", word)
    for word in """
    a about an and any are as at be been but by can could did do does for from give had has have he her here him his
    how i if in is it its know many me much my need no not of on or our please she should so tell than that the
    their them then there these they this those to want was we were what when where which who whom whose why will
    with would you your
    aber als am an auch auf aus bei bin bis bist bitte da dann das dass dein dem den denn der des die dies diese
    dieser doch dort du durch ein eine einem einen einer eines er es euch euer fur gibt hab habe haben hat hatte ich
    ihr im in ist ja kann kein keine konnen man mein mich mir mit muss nach nicht nur ob oder ohne sein seine sich
    sie sind soll uber um und uns unser viel viele vom von vor wann war waren warum was wem wen wenn wer werden wie
    will wir wird wo zu zum zur
    """.split()
)


def words(text: str) -> list[str]:
    """The words of a text as ASCII letters and digits: case, accents, umlauts and usual endings do not matter."""
    return [_key(word) for word in _folded(text)]


def query_words(query: str) -> list[str]:
    """The words that a search is for, each once: without articles and the like, unless there is nothing else."""
    found = list(dict.fromkeys(_folded(query)))
    telling = [word for word in found if word not in _COMMON] or found
    return list(dict.fromkeys(map(_key, telling)))[:_MOST_QUERY_WORDS]


def cut(text: str, *, longest: int = PASSAGE_CHARS) -> list[str]:
    """The passages of a document in order, none longer than that: whole paragraphs, or else sentences, or else words.

    Nothing is lost but white space.
    """
    passages: list[str] = []
    current = ""
    for joint, piece in _pieces(text, longest):
        if current and len(current) + len(joint) + len(piece) <= longest:
            current += joint + piece
            continue
        if current:
            passages.append(current)
        current = piece
    return [*passages, current] if current else passages


def _pieces(text: str, longest: int) -> Iterator[tuple[str, str]]:
    """Pieces that fit, each with what joins it to the piece before."""
    for paragraph in _PARAGRAPHS.split(text):
        joint = "\n\n"
        if len(paragraph.strip()) <= longest:
            yield from [(joint, paragraph.strip())] if paragraph.strip() else []
            continue
        for sentence in filter(None, map(str.strip, _SENTENCES.split(paragraph))):
            for part in [sentence] if len(sentence) <= longest else _parts(sentence, longest):
                yield joint, part
                joint = " "


def _parts(sentence: str, longest: int) -> Iterator[str]:
    while len(sentence) > longest:
        # The last white space within the limit; a single endless word is cut through.
        end = max(sentence.rfind(space, 1, longest + 1) for space in " \t\u00a0\u3000")
        end = end if end > 0 else longest
        yield sentence[:end].strip()
        sentence = sentence[end:].strip()
    if sentence:
        yield sentence


def _folded(text: str) -> list[str]:
    folded = unicodedata.normalize("NFD", unicodedata.normalize("NFKC", text).casefold())
    plain = "".join(char for char in folded if not unicodedata.combining(char))
    return [_UMLAUTS.sub(r"\1\2", word) for word in _WORD.findall(plain)]


def _key(word: str) -> str:
    if not word.isascii():
        return "x" + word.encode("utf-8", "surrogatepass").hex()
    return _stem(word) if word.isalpha() else word


def _stem(word: str) -> str:
    """Without the endings of English and German plurals and cases, so that "hours" finds "hour"."""
    while True:
        for ending in _ENDINGS:
            if word.endswith(ending) and len(word) - len(ending) >= _SHORTEST_STEM:
                word = word[: -len(ending)]
                break
        else:
            return word
