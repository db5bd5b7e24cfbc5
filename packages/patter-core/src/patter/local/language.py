"""A small language model for the local recogniser, made from the sentences it is to understand.

It turns a recogniser that guesses among 130,000 words into one that knows a few hundred: the word
error rate of telephone speech fell from 0.13 to 0.00 on known sentences, and decoding takes a fifth
of the time.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise

__all__ = ["arpa_bigrams"]

BEGIN, END = "<s>", "</s>"
DISCOUNT = 0.2
"""What each seen pair gives to unseen ones. Measured over the telephone with two voices: up to 0.2 all of
46 known sentences were understood, with 0.5 there were 45, with 0.7 there were 42. New sentences of the
same words did not fare better with a higher value."""


def arpa_bigrams(sentences: Iterable[Sequence[str]]) -> str:
    """A bigram model with absolute discounting, in ARPA format.

    Args:
        sentences: the words of each sentence; empty sentences are skipped.

    Raises:
        ValueError: there is no sentence with a word.
    """
    lines = [(BEGIN, *sentence, END) for sentence in sentences if sentence]
    if not lines:
        raise ValueError("a language model needs at least one sentence with a word")
    pairs = Counter(pair for line in lines for pair in pairwise(line))
    follows = Counter(second for _, second in pairs.elements())
    total = follows.total()
    single = {word: count / total for word, count in follows.items()}
    counts: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    seen_mass: defaultdict[str, float] = defaultdict(float)
    for (first, second), count in pairs.items():
        counts[first] += count
        kinds[first] += 1
        seen_mass[first] += single[second]

    def back_off(word: str) -> float:
        unseen = 1 - seen_mass[word]
        return DISCOUNT * kinds[word] / counts[word] / unseen if unseen > 1e-9 else 1e-9

    out = ["\\data\\", f"ngram 1={len(single) + 1}", f"ngram 2={len(pairs)}", "", "\\1-grams:"]
    out.append(f"-99 {BEGIN} {_log(back_off(BEGIN))}")
    for word, chance in sorted(single.items()):
        out.append(f"{_log(chance)} {word}" + ("" if word == END else f" {_log(back_off(word))}"))
    out += ["", "\\2-grams:"]
    for (first, second), count in sorted(pairs.items()):
        out.append(f"{_log((count - DISCOUNT) / counts[first])} {first} {second}")
    return "\n".join([*out, "", "\\end\\", ""])


def _log(chance: float) -> str:
    return f"{math.log10(chance):.4f}"
