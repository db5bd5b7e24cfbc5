import asyncio
import threading
import time

import anyio
import anyio.from_thread
import anyio.lowlevel
import anyio.to_thread
import pytest

from patter.testing import DeadlockError, LivelockError, VirtualLoop, run_virtual


def run(function, **options):
    return anyio.run(function, backend="asyncio", backend_options={"loop_factory": lambda: VirtualLoop(**options)})


@pytest.mark.anyio
async def test_the_pytest_plugin_takes_the_loop(no_leaked_tasks):
    began = time.monotonic()
    await anyio.sleep(3600)
    assert anyio.current_time() >= 3600
    assert time.monotonic() - began < 5


def test_time_begins_at_zero_and_stands_still_while_something_runs():
    async def main():
        times = [anyio.current_time()]
        for _ in range(100):
            await anyio.lowlevel.checkpoint()
        return [*times, anyio.current_time()]

    assert run_virtual(main) == [0.0, 0.0]


def test_a_deadline_fires_at_its_time():
    async def main():
        with anyio.move_on_after(180):
            await anyio.sleep_forever()
        return anyio.current_time()

    assert run_virtual(main) == 180.0


def test_arguments_and_the_result_pass():
    async def main(a, b):
        await anyio.sleep(a)
        return a + b

    assert run_virtual(main, 1, 2) == 3


@pytest.mark.parametrize("count", [3, 2000])
def test_timers_of_one_time_fire_in_the_order_they_were_set(count):
    async def main():
        order = []

        async def sleeper(number):
            await anyio.sleep_until(1.0)
            order.append(number)

        async with anyio.create_task_group() as tasks:
            for number in range(count):
                tasks.start_soon(sleeper, number)
        return order

    assert run_virtual(main) == list(range(count))


def test_a_cancelled_timer_does_not_move_the_clock():
    async def main():
        with anyio.move_on_after(100):
            await anyio.sleep(1)
        await anyio.sleep(1)
        return anyio.current_time()

    assert run_virtual(main) == 2.0


def test_a_timer_that_is_cancelled_by_another_of_its_time_does_not_fire():
    async def main():
        loop = asyncio.get_running_loop()
        fired = []
        loop.call_at(1.0, lambda: second.cancel())
        second = loop.call_at(1.0, fired.append, "second")
        await anyio.sleep(2)
        return fired

    assert run_virtual(main) == []


def test_a_rest_of_rounding_is_no_livelock():
    async def main():
        await anyio.sleep(5)
        for _ in range(1000):
            await anyio.sleep(1e-17)
        return anyio.current_time()

    assert run(main, max_turns=500) == pytest.approx(5.0, abs=1e-5)


def test_timers_keep_their_context():
    async def main():
        got = []
        loop = asyncio.get_running_loop()
        task_name = asyncio.current_task().get_name()
        loop.call_later(1, lambda: got.append(loop.time()))
        await anyio.sleep(2)
        return got, task_name == asyncio.current_task().get_name()

    assert run_virtual(main) == ([1.0], True)


# --- guards --------------------------------------------------------------------------------------


def test_waiting_for_nothing_is_a_deadlock():
    async def waits_for_ever():
        await anyio.sleep(12.34)
        await anyio.Event().wait()

    with pytest.raises(DeadlockError, match=r"no timer is set at 12\.340 s\.\n.*test_clock\.py:\d+: await"):
        run_virtual(waits_for_ever)


def test_spinning_is_a_livelock():
    async def spins():
        await anyio.sleep(1.5)
        while True:
            await anyio.lowlevel.checkpoint()

    with pytest.raises(LivelockError, match=r"2,000 turns of the loop at 1\.500 s without time moving on\."):
        run(spins, max_turns=2000)


def test_busy_work_that_moves_time_is_no_livelock():
    async def main():
        for _ in range(1000):
            await anyio.sleep(0.001)
        return True

    assert run(main, max_turns=100)


# --- threads -------------------------------------------------------------------------------------


def slowly(value):
    """Be busy for some milliseconds."""
    return value if sum(range(500_000)) else None


def test_a_worker_thread_takes_no_virtual_time():
    async def main():
        with anyio.move_on_after(0.001):
            return await anyio.to_thread.run_sync(slowly, 7), anyio.current_time()

    assert run_virtual(main) == (7, 0.0)


def test_a_worker_thread_with_a_limiter_of_its_own_stops_the_clock_too():
    async def main():
        with anyio.move_on_after(0.001):
            limiter = anyio.CapacityLimiter(1)
            return await anyio.to_thread.run_sync(slowly, 7, limiter=limiter), anyio.current_time()

    assert run_virtual(main) == (7, 0.0)


def test_an_executor_stops_the_clock_too():
    async def main():
        with anyio.move_on_after(0.001):
            return await asyncio.to_thread(slowly, 7), anyio.current_time()

    assert run_virtual(main) == (7, 0.0)


def test_other_tasks_run_while_a_thread_works():
    async def main():
        order = []

        async def turns():
            for _ in range(3):
                await anyio.lowlevel.checkpoint()
                order.append("turn")

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(turns)
            order.append(await anyio.to_thread.run_sync(slowly, "thread"))
        return order

    assert run_virtual(main) == ["turn", "turn", "turn", "thread"]


def test_many_threads_one_after_the_other():
    async def main():
        for number in range(200):
            assert await anyio.to_thread.run_sync(lambda number=number: number) == number
            await anyio.sleep(1)
        return anyio.current_time()

    began = time.monotonic()
    assert run_virtual(main) == 200.0
    assert time.monotonic() - began < 5


def test_a_thread_may_call_back():
    async def main():
        return await anyio.to_thread.run_sync(lambda: anyio.from_thread.run_sync(lambda: 7))

    assert run_virtual(main) == 7


def test_a_thread_of_another_loop_does_not_stop_the_clock():
    release = threading.Event()
    other = threading.Thread(target=lambda: anyio.run(anyio.to_thread.run_sync, release.wait))
    other.start()
    try:

        async def main():
            await anyio.sleep(60)
            return anyio.current_time()

        assert run_virtual(main) == 60.0
    finally:
        release.set()
        other.join()


def test_a_thread_that_waits_for_virtual_time_is_a_deadlock():
    async def main():
        await anyio.to_thread.run_sync(anyio.from_thread.run, anyio.sleep, 5)

    with pytest.raises(DeadlockError, match=r"kept the loop waiting for 0\.05 real seconds at 0\.000 s"):
        run(main, real_wait_s=0.05)


def test_a_socket_is_read_before_the_clock_jumps():
    async def main():
        async def serve(stream):
            async with stream:
                await stream.send(await stream.receive())

        async with (
            await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(listener.serve, serve)
            port = listener.extra(anyio.abc.SocketAttribute.local_port)
            async with await anyio.connect_tcp("127.0.0.1", port) as stream:
                await stream.send(b"hello")
                answer = await stream.receive()
            tasks.cancel_scope.cancel()
        return answer

    assert run_virtual(main) == b"hello"
