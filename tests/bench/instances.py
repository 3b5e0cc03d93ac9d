"""Two instances of points-accrual that share the partitions of one database, beside one."""

from .arithmetic import Sample, Series, ratio
from .ledger import drained
from .servers import Bench
from .traffic import TEN, orders

ONE, TWO = "one instance", "two instances"


async def measure(bench: Bench, _wanted: frozenset[str]) -> dict[str, Series]:
    """Figure 8."""
    records = list(orders(TEN, bench.count(30_000, 6_000)))
    samples: dict[str, list[Sample]] = {ONE: [], TWO: []}
    for number in range(min(bench.rounds, 3)):
        bench.say(f"instances, round {number + 1}")
        samples[ONE].append(await drained(bench, ONE, records))
        samples[TWO].append(await drained(bench, TWO, records, instances=2))
    series = {name: Series(values, "orders/s") for name, values in samples.items()}
    return series | {f"{TWO} ÷ one": ratio(series[TWO], series[ONE])}
