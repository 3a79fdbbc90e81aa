"""Results of other threads reach the event loop together."""

import asyncio
from concurrent.futures import Future

import pytest

from deploymark.errors import LogBusyError
from deploymark.server.landing import Landing


class CountingLoop(asyncio.SelectorEventLoop):
    """Counts how often another thread wakes it."""

    wakes = 0

    def call_soon_threadsafe(self, *args: object, **kwargs: object) -> asyncio.Handle:
        self.wakes += 1
        return super().call_soon_threadsafe(*args, **kwargs)  # type: ignore[arg-type]


def test_a_group_wakes_the_loop_once() -> None:
    landing = Landing()
    futures: list[Future[int]] = [Future() for _ in range(50)]
    loop = CountingLoop()

    async def wait_for_all() -> list[int]:
        waiting = [asyncio.create_task(landing.result(each)) for each in futures]
        await asyncio.sleep(0)
        before = loop.wakes
        for number, future in enumerate(futures):
            future.set_result(number)
        results = await asyncio.gather(*waiting)
        assert loop.wakes == before + 1
        return results

    try:
        assert loop.run_until_complete(wait_for_all()) == list(range(50))
    finally:
        loop.close()


def test_an_error_is_raised_where_the_result_is_awaited() -> None:
    landing = Landing()
    future: Future[int] = Future()
    future.set_exception(LogBusyError("Busy."))
    with pytest.raises(LogBusyError):
        asyncio.run(landing.result(future))


def test_who_gave_up_does_not_disturb_the_others() -> None:
    landing = Landing()
    gone: Future[int] = Future()
    kept: Future[int] = Future()

    async def wait_for_one() -> int:
        leaving = asyncio.create_task(landing.result(gone))
        staying = asyncio.create_task(landing.result(kept))
        await asyncio.sleep(0)
        leaving.cancel()
        gone.set_result(1)
        kept.set_result(2)
        return await staying

    assert asyncio.run(wait_for_one()) == 2


def test_a_result_after_the_end_of_the_loop_is_dropped() -> None:
    landing = Landing()
    future: Future[int] = Future()

    async def leave() -> None:
        waiting = asyncio.create_task(landing.result(future))
        await asyncio.sleep(0)
        waiting.cancel()

    asyncio.run(leave())
    future.set_result(1)
    done: Future[int] = Future()
    done.set_result(2)
    assert asyncio.run(landing.result(done)) == 2
