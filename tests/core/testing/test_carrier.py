import anyio
import pytest

from patter.agent import Agent
from patter.carriers.base import CarrierStatus, DialOrder, LineStart
from patter.errors import CarrierError, LineError, SignatureError
from patter.testing import Callee, EventLog, ScriptedCarrier, ScriptedLine, ScriptedMind, ScriptedVoice

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_leaked_tasks")]

ORDER = DialOrder(
    ref="r",
    to="+15550100199",
    from_number="+15550100100",
    token="t",
    status_url="https://patter.test/s",
    machine_url="https://patter.test/m",
    media_url="wss://patter.test/media",
)


class Ledger:
    """Stands where a call would, and writes down what the carrier tells it."""

    def __init__(self, carrier, *, hang_up_at=None, until=10.0, refuse=False):
        self.carrier = carrier
        self.told = []
        self.hang_up_at = hang_up_at
        self.until = until
        self.refuse = refuse

    async def run(self, background):
        carrier_id = await self.carrier.dial(ORDER)
        if self.hang_up_at is not None:
            await anyio.sleep_until(self.hang_up_at)
            await self.carrier.hang_up(carrier_id)
        await anyio.sleep_until(self.until)
        return "result"

    def report(self, update):
        self.told.append((round(anyio.current_time(), 6), update.status or update.answered_by))

    async def join(self, start: LineStart, line):
        if self.refuse:
            raise LineError("no")
        self.told.append((round(anyio.current_time(), 6), start.parameters["token"]))
        await anyio.sleep_forever()


async def play(carrier, **options):
    ledger = Ledger(carrier, **options)
    assert await carrier.run(ledger) == "result"
    return [(at, getattr(fact, "value", fact)) for at, fact in ledger.told]


async def test_the_script_is_played_from_the_dial():
    line = ScriptedLine()
    carrier = ScriptedCarrier().rings(0.5).answers(2.0, line).reports(3.0, answered_by="human")
    assert await play(carrier) == [(0.5, "ringing"), (2.0, "in-progress"), (2.0, "t"), (3.0, "human")]
    assert carrier.dials == [ORDER]
    assert line.answered_at == 2.0


async def test_hanging_up_ends_the_line_and_is_reported():
    line = ScriptedLine()
    carrier = ScriptedCarrier(final_s=0.2).answers(1.0, line).reports(4.0, "failed")
    told = await play(carrier, hang_up_at=3.0)
    assert told[-1] == (3.2, "completed")
    assert carrier.hang_ups == ["CA00000000000000000000000000000001"]
    assert (await line.receive()).clean


async def test_hanging_up_while_it_rings_cancels():
    assert (await play(ScriptedCarrier().rings(0.5), hang_up_at=3.0))[-1] == (3.1, "canceled")


async def test_the_last_status_may_never_come():
    assert await play(ScriptedCarrier(final_s=None).rings(0.5), hang_up_at=3.0) == [(0.5, "ringing")]


async def test_the_callee_hangs_up_and_the_carrier_says_so():
    told = await play(ScriptedCarrier().answers(1.0, Callee().hangs_up(2.0).line()))
    assert told[-1] == (3.1, "completed")


async def test_a_line_that_breaks_is_not_the_end_of_the_call():
    told = await play(ScriptedCarrier().answers(1.0, Callee().drops(2.0).line()))
    assert told[-1] == (1.0, "t")


async def test_a_refused_line_is_noted():
    carrier = ScriptedCarrier().answers(1.0, ScriptedLine())
    await play(carrier, refuse=True)
    assert carrier.refused == ["no"]


async def test_the_dial_fails_as_told_and_is_looked_for():
    error = CarrierError("late", doubtful=True)
    carrier = ScriptedCarrier(dial_s=1.0, dial_error=error, found=[None, CarrierError("down"), "CA1"])
    with pytest.raises(CarrierError, match="late"):
        await carrier.dial(ORDER)
    assert anyio.current_time() == 1.0
    assert await carrier.find(ORDER) is None
    with pytest.raises(CarrierError, match="down"):
        await carrier.find(ORDER)
    assert [await carrier.find(ORDER), await carrier.find(ORDER)] == ["CA1", None]
    assert carrier.finds == [ORDER] * 4


async def test_fetch_tells_how_the_call_stands():
    carrier = ScriptedCarrier().answers(1.0).reports(2.0, "completed")
    assert (await carrier.fetch("CA")).status is CarrierStatus.RINGING
    await carrier.run(Ledger(carrier))
    assert (await carrier.fetch("CA")).status is CarrierStatus.COMPLETED


async def test_what_only_a_real_carrier_has_is_refused():
    carrier = ScriptedCarrier()
    await carrier.start()
    carrier.check_upgrade("", {})
    with pytest.raises(SignatureError):
        carrier.read_webhook("", {}, b"")
    with pytest.raises(LineError):
        await carrier.open_line(None)


async def test_place_runs_a_call():
    callee = Callee().says(0.5, "Luigi's, hello?").says(5.0, "Seven is fine.").hangs_up(9.0)
    line = callee.line()
    mind = ScriptedMind(["A table for two at seven, please.", "Thank you, goodbye."])
    agent = Agent(stt=callee.ears(line), llm=mind, tts=ScriptedVoice())
    log = EventLog()
    result = await ScriptedCarrier().rings(0.5).answers(3.0, line).place(agent, goal="Book", on_event=log)
    mind.assert_complete()
    assert result.status == "completed"
    assert [line.text for line in result.transcript][-1] == "Thank you, goodbye."
    assert log.kinds()[:3] == ["dialing", "ringing", "answered"]
