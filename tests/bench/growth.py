"""Throughput over the size of the ledger: the same orders on ledgers that hold more and more transfers."""

from contracts.topics import POINTS

from .arithmetic import Sample, Series, ratio
from .fill import TRANSFERS_EACH, fill
from .ledger import check_books, connected, drain, events_sent, migrated, skip_to_end
from .servers import Bench
from .traffic import MANY, orders

MILLIONS = {10**5: "10⁵", 10**6: "10⁶", 10**7: "10⁷"}


def name_of(size: int) -> str:
    """The slice of a ledger that began with so many transfers."""
    return f"{MILLIONS[size]} transfers"


async def measure(bench: Bench, _wanted: frozenset[str]) -> dict[str, Series]:
    """Figure 9. Each ledger stays through all rounds: what a round adds is little beside what is there."""
    sizes = [size for size in MILLIONS if size <= bench.count(10**7, 10**6)]
    count = bench.count(20_000, 5_000)
    dsns = {size: await _filled(bench, size) for size in sizes}
    samples: dict[int, list[Sample]] = {size: [] for size in sizes}
    for number in range(min(bench.rounds, 3)):
        bench.say(f"growth, round {number + 1}")
        records = list(orders(MANY, count, number * count))
        for size in sizes:
            await skip_to_end(bench, POINTS, dsns[size])
            before = await events_sent(bench)
            samples[size].append(await drain(bench, dsns[size], records))
            taken = size // TRANSFERS_EACH + (number + 1) * count
            await check_books(bench, name_of(size), dsns[size], taken, before, granted=count)
    for size in sizes:
        await bench.run(f"DROP DATABASE {_database(size)} WITH (FORCE)")
    series = {name_of(size): Series(values, "orders/s") for size, values in samples.items()}
    large, small = series[name_of(sizes[-1])], series[name_of(sizes[0])]
    return series | {"large ÷ small ledger": ratio(large, small)}


def _database(size: int) -> str:
    return f"growth_{size}"


async def _filled(bench: Bench, size: int) -> str:
    bench.say(f"filling a ledger with {size:,} transfers")
    dsn = migrated(bench, _database(size), POINTS)
    async with connected(dsn) as connection:
        await fill(connection, 0, size)
    return dsn
