import asyncio

from worker_fn.dispatch.fair_semaphore import FairSemaphore


def test_no_more_holders_than_slots() -> None:
    """However many want a slot, there are never more holders than slots."""

    async def story() -> int:
        semaphore, held, most = FairSemaphore(3), 0, 0

        async def use(account_id: str) -> None:
            nonlocal held, most
            async with semaphore.held(account_id):
                held += 1
                most = max(most, held)
                await asyncio.sleep(0)
                held -= 1

        await asyncio.gather(*(use(str(number % 2)) for number in range(50)))
        return most

    assert asyncio.run(story()) == 3


def test_account_with_few_is_served_before_the_flood() -> None:
    """A customer whose single message came last does not wait behind another's hundred."""

    async def story() -> list[str]:
        semaphore, order = FairSemaphore(2), []

        async def use(account_id: str) -> None:
            async with semaphore.held(account_id):
                order.append(account_id)
                await asyncio.sleep(0)

        await asyncio.gather(*(use("flood") for _ in range(100)), use("small"))
        return order

    assert asyncio.run(story()).index("small") <= 3


def test_one_account_may_use_all_slots() -> None:
    """If only one account has calls, it may use all slots."""

    async def story() -> int:
        semaphore = FairSemaphore(4)
        ready = asyncio.Barrier(4)

        async def use() -> int:
            async with semaphore.held("only"):
                await ready.wait()
                return 1

        return sum(await asyncio.gather(*(use() for _ in range(4))))

    assert asyncio.run(story()) == 4


def test_cancelled_waiter_leaves_no_slot_behind() -> None:
    """A waiter that gives up, or a holder that is cancelled, frees its slot."""

    async def story() -> bool:
        semaphore = FairSemaphore(1)

        async def hold() -> None:
            async with semaphore.held("a"):
                await asyncio.sleep(3_600)

        first, second = asyncio.create_task(hold()), asyncio.create_task(hold())
        await asyncio.sleep(0)
        second.cancel()
        first.cancel()
        await asyncio.gather(first, second, return_exceptions=True)
        async with asyncio.timeout(5), semaphore.held("b"):
            return True

    assert asyncio.run(story())
