"""One thread computes, and nobody is more than one request behind."""

import asyncio
import threading

import pytest

from rawconv.explore.held import Held, bytes_of
from rawconv.explore.worker import Gone, Replaced, Worker


def working(scenario, **options):
    """What scenario(worker) returns, a coroutine, while the worker runs."""

    async def whole():
        worker = Worker(**options)
        running = asyncio.create_task(worker.run())
        try:
            return await asyncio.wait_for(scenario(worker), 30)
        finally:
            running.cancel()

    return asyncio.run(whole())


def test_a_newer_request_takes_the_place_of_one_that_waits():
    computed, begun, free = [], threading.Event(), threading.Event()

    def compute(number):
        begun.set()
        free.wait(20)
        computed.append(number)
        return number

    async def scenario(worker):
        tasks = [asyncio.create_task(worker.do(compute, 0, slot="page/project"))]
        while not begun.is_set():
            await asyncio.sleep(0.01)
        for number in range(1, 50):
            tasks.append(asyncio.create_task(worker.do(compute, number, slot="page/project")))
            await asyncio.sleep(0)
        other = asyncio.create_task(worker.do(compute, "other", slot="another page/project"))
        await asyncio.sleep(0)
        free.set()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        return answers, await other

    answers, other = working(scenario)
    assert answers[0] == 0 and answers[49] == 49 and other == "other"
    assert all(isinstance(answer, Replaced) for answer in answers[1:49])
    assert computed == [0, 49, "other"]


def test_requests_without_a_slot_are_all_computed():
    async def scenario(worker):
        return await asyncio.gather(*(worker.do(abs, -number) for number in range(20)))

    assert working(scenario) == list(range(20))


def test_a_client_that_has_gone_is_not_computed_for():
    computed = []

    async def gone():
        return True

    async def scenario(worker):
        with pytest.raises(Gone):
            await worker.do(computed.append, 1, gone=gone)
        return await worker.do(computed.append, 2)

    working(scenario)
    assert computed == [2]


def test_who_goes_while_the_worker_asks_whether_he_has_gone_ends_no_other_request():
    async def scenario(worker):
        async def gone():
            task.cancel()  # the connection is lost in the turn that this wait gives to others
            await asyncio.sleep(0)
            return True

        task = asyncio.create_task(worker.do(abs, -1, gone=gone))
        await asyncio.wait([task])
        return await asyncio.wait_for(worker.do(abs, -2), 10)

    assert working(scenario) == 2


def test_what_fails_fails_for_who_asked_alone():
    def fails():
        raise ZeroDivisionError

    async def scenario(worker):
        with pytest.raises(ZeroDivisionError):
            await worker.do(fails)
        return await worker.do(abs, -3)

    assert working(scenario) == 3


def test_an_iterator_that_ends_too_early_fails_too_for_who_asked_alone():
    async def scenario(worker):
        with pytest.raises(RuntimeError, match="ended too early"):
            await worker.do(next, iter(()))
        return await worker.do(abs, -3)

    assert working(scenario) == 3


def test_the_background_goes_on_between_requests_and_lets_them_pass():
    order, parts = [], iter(range(5))

    def background():
        number = next(parts, None)
        order.append(number)
        return number is not None

    async def scenario(worker):
        await worker.do(order.append, "first")
        while None not in order:
            await asyncio.sleep(0.01)
        return await worker.do(order.append, "last")

    working(scenario, background=background)
    assert order[0] == "first" and order[1:6] == list(range(5)) and order[-1] == "last"


def test_a_background_that_fails_ends_no_request():
    failed = []

    def background():
        failed.append(1)
        raise ZeroDivisionError

    async def scenario(worker):
        while not failed:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.5)
        return await worker.do(abs, -3), len(failed)

    assert working(scenario, background=background) == (3, 1)


def test_what_was_not_asked_for_longest_goes_first():
    held = Held(10)
    for key in "abc":
        held.put(key, key, 3)
    assert held.get("a") == "a"
    held.put("d", "d", 4)
    assert [held.get(key) for key in "abcd"] == ["a", None, "c", "d"] and held.used == 10
    held.put("d", "D", 1)
    assert held.used == 7 and held.get("d") == "D"
    held.put("large", 0, 99)
    assert len(held) == 1 and held.get("large") == 0 and held.used == 99


def test_an_array_that_stands_twice_counts_once():
    import numpy as np

    whole = np.zeros((4, 5))
    assert bytes_of({"a": whole, "b": (whole, [whole[1:]])}, 3, None) == whole.nbytes
    assert bytes_of({"a": whole[1:].copy()}, whole) == whole.nbytes + 3 * 5 * 8
