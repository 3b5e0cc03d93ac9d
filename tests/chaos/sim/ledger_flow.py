"""One story of points-accrual in which everything happens that its code can do, step by step, for crash enumeration."""

from datetime import timedelta

from contracts.referrals import ReferralConfirmedV1
from contracts.topics import POINTS
from shared import dead_letters
from tests.unit.points_accrual import samples
from tests.unit.points_accrual.samples import DAY, T0

from .clients import Call
from .kafka import Headers
from .ledger_facts import HOUR, MEMBERS, Fact
from .ledger_run import LedgerRun
from .node import DEATHS_MAX, Succession

ANN, BOB, _ = MEMBERS
END = 40 * DAY


class LedgerFlow:
    """Steps of one process at a time."""

    def __init__(self, run: LedgerRun) -> None:
        self.run = run
        self.older: frozenset[type] = frozenset({ReferralConfirmedV1})
        self.processes = Succession(run.cluster, lambda: run.start_alone(without=self.older))

    async def work(self) -> None:
        """What the loops of a process do, each once."""
        await self.processes.step(self.run.consume_all)
        await self.processes.step(self.run.sweep)
        await self.processes.step(lambda node: node.replay())
        await self.processes.step(lambda node: node.relay())

    def tell(self, hours: float, *facts: object) -> None:
        """Facts at that time."""
        run = self.run
        run.cluster.now = at = T0 + timedelta(hours=hours)
        for event in facts:
            run.publish(Fact(at, event))  # type: ignore[arg-type]

    async def ask(self, call: Call) -> None:
        """A client asks until it is answered, always with the same key."""
        for _ in range(DEATHS_MAX):
            await self.processes.step(lambda node: self.run.clients.send(node, call))
            if call.answers[-1][0] not in (None, 503):
                return

    async def play(self) -> None:
        """The story."""
        bought = samples.order(member_id=ANN, recorded_at=T0 + HOUR, updated_at=T0 + HOUR)
        small = samples.order(
            samples.line("1", 3000), order_id="2", member_id=BOB, recorded_at=T0 + 2 * HOUR, updated_at=T0 + 2 * HOUR
        )
        self.tell(0, samples.enrolled(member_id=ANN), samples.enrolled(member_id=BOB, status="shopper"))
        self.tell(1, bought)
        self.tell(2, small)
        await self.work()
        await self._upgrade()
        self.tell(30, samples.enrolled(T0 + 30 * HOUR, member_id=BOB, version=2))
        many = {"member_id": ANN, "recorded_at": T0 + 30 * HOUR, "updated_at": T0 + 30 * HOUR}
        self.tell(30, *(samples.order(samples.line("1", 2000), order_id=name, **many) for name in ("5", "6")))
        await self.work()  # two events of one member in one transaction: later batches hold poison
        self.tell(31, samples.standing(samples.interval("silver", T0 - DAY), at=T0 + 31 * HOUR, member_id=ANN))
        refund = samples.back("r", T0 + 32 * HOUR, {"1": 2500})
        change = {"refunds": (refund,), "revision": 2, "recorded_at": T0 + 32 * HOUR, "updated_at": T0 + 32 * HOUR}
        self.tell(32, bought.model_copy(update=change))
        self._poison()
        await self.work()
        self.run.cluster.now = T0 + 4 * DAY
        await self.work()
        first, second = self.run.clients.new(ANN), self.run.clients.new(BOB, hold=True)
        for call in (first, second, first):
            await self.ask(call)
        await self.work()
        self.run.cluster.now = T0 + END
        await self.work()

    async def _upgrade(self) -> None:
        """An event of a type that came with the next version is set aside, and replayed by it."""
        event = samples.confirmed(at=T0 + 5 * HOUR, member_id=ANN)
        self.run.cluster.now = T0 + 5 * HOUR
        place = self.run.publish(Fact(T0 + 5 * HOUR, event))
        await self.work()
        self.older = frozenset()
        if self.processes.node is not None:
            self.processes.node.end()
        connection = self.run.database.connection
        rows = await connection.fetch("SELECT id FROM dead_letters WHERE error_class = 'UnknownType'")
        await dead_letters.mark(connection, [row[0] for row in rows], state="replaying", actor="operator")
        self.run.letters[place] = "replayed"
        await self.work()

    def _poison(self) -> None:
        """What cannot be read, and what can be read and never applied."""
        cluster = self.run.cluster
        nothing: Headers = []
        item = cluster.append("loyalty.orders.v1", str(ANN).encode(), b"{", nothing)
        self.run.letters[item.topic, item.partition, cluster.ends[item] - 1] = "open"
        event = samples.order(order_id="9", member_id=ANN, program_id="nobodys", recorded_at=cluster.now)
        place = Fact(cluster.now, event).publish(cluster)
        self.run.letters[place] = "open"


SERVICE = POINTS
