"""The suite's checks. Their messages say which promise was broken and what was seen."""

from __future__ import annotations

import json
import re
from typing import Any

from patter.envelope import CallResult
from patter.testing.contract.harness import AdapterHarness, Observed
from patter.testing.contract.phone import SECRET

__all__ = ["broken", "check_error", "check_result", "check_silence", "envelope_in"]

_SHOWN = 600


def broken(promise: str, seen: object) -> str:
    """The message of a failed check."""
    return f"\n  promised: {promise}\n  seen:     {str(seen)[:_SHOWN]}"


def envelope_in(observed: Observed) -> dict[str, Any]:
    """The envelope that the model reads."""
    try:
        envelope = json.loads(observed.text)
    except (TypeError, ValueError):
        envelope = None
    assert isinstance(envelope, dict), broken("the model reads the envelope as a JSON object", repr(observed.text))
    for key in ("status", "transcript", "call_id"):
        assert key in envelope, broken(f"the model reads the envelope's {key}", observed.text)
    return envelope


def check_result(observed: Observed, harness: AdapterHarness, status: str = "completed") -> dict[str, Any]:
    """The use has a result with this status, marked as none of the errors; the envelope that the model reads."""
    assert not observed.is_error, broken(f"a call that ended {status} is a result, not an error", observed)
    envelope = envelope_in(observed)
    assert envelope["status"] == status, broken(f"the status is {status}", observed.text)
    if not harness.has_result:
        assert observed.result is None, broken("a harness without has_result has no result", observed.result)
        return envelope
    result = observed.result
    assert isinstance(result, CallResult), broken("the program reaches the envelope as a CallResult", repr(result))
    whole = result.to_dict()
    for key in ("status", "call_id", "transcript"):
        assert whole[key] == envelope[key], broken(f"program and model get the same {key}", (whole[key], envelope[key]))
    return envelope


def check_error(observed: Observed, *words: str, field: str | None = None) -> None:
    """The use is marked as an error whose text names the field, holds these words, and nothing of the program."""
    assert observed.is_error, broken("a use that dialled nobody is marked as an error", observed)
    assert observed.result is None, broken("an error has no envelope", observed.result)
    if field is not None:
        promise = f"the text of the error names the argument, as in '{field}: ...'"
        assert _names(observed.text, field), broken(promise, repr(observed.text))
    for word in words:
        assert word in observed.text, broken(f"the text of the error says {word!r}", repr(observed.text))
    check_silence(observed)


def check_silence(observed: Observed) -> None:
    """Neither a secret nor a traceback is in what the model, the program or the user gets."""
    for name, text in (("text", observed.text), ("result", str(observed.result)), ("events", str(observed.events))):
        assert SECRET not in text, broken(f"no secret of an error is in the {name}", text)
        assert "Traceback (most recent" not in text, broken(f"no traceback is in the {name}", text)


def _names(text: str, field: str) -> bool:
    """True if the text has the field's name before a colon, in quotes, or on a line of its own: not as a plain word."""
    name = re.escape(field)
    return re.search(rf"\b{name}\b['\"`]?\s*:|['\"`]{name}['\"`]|^\s*{name}\s*$", text, re.MULTILINE) is not None
