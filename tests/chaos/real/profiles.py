"""How much trouble a run brings: short for every change, full for a release."""

from laurel.services import SERVICES

from .faults import BY_PROXY, EVERYWHERE, ON_SMALL_DISK
from .run import Profile

_ALL = (*EVERYWHERE, *BY_PROXY, *ON_SMALL_DISK)

SHORT = Profile(
    times={
        **dict.fromkeys(_ALL, 1),
        "kafka_long": 0,
        "kafka_stop": 0,
        "join_leave": 0,
        "kill": len(SERVICES),
        "term": 3,
    },
    short_seconds=(1.0, 2.0),
    long_seconds=0.0,
    pace_seconds=1.5,
)
"""Each kind once, but for those that are part of another; every service is killed."""
FULL = Profile(
    times={**dict.fromkeys(_ALL, 7), "kafka_long": 1, "kill": 2 * len(SERVICES), "term": 2 * len(SERVICES)},
    short_seconds=(1.0, 5.0),
    long_seconds=120.0,
    pace_seconds=15.0,
)
"""Three runs of it bring every kind twenty times and more, and Kafka away for two minutes three times."""
