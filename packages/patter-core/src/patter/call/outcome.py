"""From what happened to how the call ended."""

from __future__ import annotations

from patter.carriers.base import CarrierStatus
from patter.envelope import CallError, Ending, EndReason
from patter.errors import CarrierError, LineError, ProviderError
from patter.tasks import first_error

__all__ = ["ending_of_dial", "ending_of_error", "ending_of_status"]

_INVALID_NUMBER = frozenset({21211, 21214, 21217})
_SIP_BUSY = frozenset({486, 600})
_SIP_DECLINED = 603


def ending_of_status(status: CarrierStatus, *, sip_code: int | None) -> Ending:
    """The ending of a call that the carrier reports as over, and whose line never came."""
    if sip_code == _SIP_DECLINED:
        return Ending(EndReason.DECLINED, CallError(code="carrier_rejected", message="The callee declined the call."))
    if status is CarrierStatus.BUSY or sip_code in _SIP_BUSY:
        return Ending(EndReason.BUSY)
    if status in (CarrierStatus.NO_ANSWER, CarrierStatus.CANCELED):
        return Ending(EndReason.NO_ANSWER)
    if status is CarrierStatus.COMPLETED:
        message = "The call was over before the carrier's media connection came."
        return Ending(EndReason.MEDIA_ERROR, CallError(code="media_error", message=message))
    message = "The carrier could not complete the call" + (f" (SIP {sip_code})." if sip_code else ".")
    return Ending(EndReason.CARRIER_ERROR, CallError(code="carrier_rejected", message=message))


def ending_of_dial(error: CarrierError) -> Ending:
    """The ending of a call that the carrier did not place."""
    if error.code in _INVALID_NUMBER:
        return Ending(EndReason.INVALID_NUMBER, CallError(code="invalid_number", message=str(error)))
    if error.http_status == 401:
        code = "carrier_auth"
    elif error.doubtful or error.http_status is None:
        code = "carrier_unreachable"
    else:
        code = "carrier_rejected"
    return Ending(EndReason.CARRIER_ERROR, CallError(code=code, message=str(error)))


def ending_of_error(error: BaseException) -> Ending:
    """The ending of a call in which something broke. A stranger's exception keeps its text to itself."""
    if isinstance(error, BaseExceptionGroup):
        error = first_error(error)
    if isinstance(error, ProviderError):
        return Ending(EndReason.PIPELINE_ERROR, CallError(code=f"{error.stage}_error", message=str(error)))
    if isinstance(error, LineError):
        return Ending(EndReason.MEDIA_ERROR, CallError(code="media_error", message=str(error)))
    if isinstance(error, CarrierError):
        return ending_of_dial(error)
    message = f"An unexpected {type(error).__name__} ended the call."
    return Ending(EndReason.PIPELINE_ERROR, CallError(code="internal_error", message=message))
