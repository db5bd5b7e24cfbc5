"""What a vendor's refusal means and what to do about it, in the same words for all vendors."""

from __future__ import annotations

from patter.errors import ProviderError, Stage

__all__ = ["RETRYABLE_STATUSES", "refusal"]

RETRYABLE_STATUSES = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
"""HTTP statuses after which the same request may succeed later."""

_LONGEST_DETAIL = 160


def refusal(stage: Stage, vendor: str, status: int | None, *, variable: str, detail: str = "") -> ProviderError:
    """The error for a request that a vendor has refused.

    Args:
        vendor: its name, as people write it, such as ``Deepgram``.
        status: the HTTP status, or None if the refusal came without one.
        variable: the environment variable of the key.
        detail: the vendor's own words or code. Must hold no secret and nothing that was said; it is cut.
    """
    reason = _reason(vendor, status, variable)
    told = " ".join(detail.split())[:_LONGEST_DETAIL]
    source = ", ".join(part for part in (f"HTTP {status}" if status else "", told) if part)
    message = f"{reason} ({source})." if source else f"{reason}."
    return ProviderError(stage, message, retryable=status in RETRYABLE_STATUSES)


def _reason(vendor: str, status: int | None, variable: str) -> str:
    match status:
        case 401:
            return f"{vendor} does not accept the key; check {variable}"
        case 402:
            return f"The {vendor} account has no credit left; add some, or use another key in {variable}"
        case 403:
            return f"The key in {variable} may not use this at {vendor}; check its permissions and the plan"
        case 404:
            return f"{vendor} does not know the model, the voice or the address; check them and base_url"
        case 429:
            return f"{vendor} turns requests away for now: too many at once, or the quota is used up"
        case None:
            return f"{vendor} refused the request"
        case _ if status >= 500:
            return f"{vendor} failed; try again later, or add a fallback provider"
        case _:
            return f"{vendor} refused the request; check the model and its options"
