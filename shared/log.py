"""Structured logs: one JSON object a line, with the correlation and causation ids of what is being done."""

import logging
import time
from collections.abc import Callable

import structlog

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class Seldom(logging.Filter):
    """Lets the same words of a library through once in `seconds`, with how often they came meanwhile.

    While Kafka is away, its client says a hundred times a second that it is.
    """

    def __init__(self, seconds: float = 10.0, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._seconds, self._now = seconds, now
        self._said: dict[tuple[str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether this one is said. Words are told apart before their arguments are filled in."""
        words, now = (record.name, str(record.msg)), self._now()
        last, kept_back = self._said.get(words, (None, 0))
        if last is not None and now - last < self._seconds:
            self._said[words] = last, kept_back + 1
            return False
        if len(self._said) >= _WORDS_MAX:
            self._said.clear()
        self._said[words] = now, 0
        if kept_back:
            record.msg = f"{record.msg} (and {kept_back} times since it was said last)"
        return True


_WORDS_MAX = 1000


def configure(service: str, level: str) -> None:
    """Set up the process's logging; libraries' records below warning are dropped."""
    number = logging.getLevelNamesMapping().get(level.upper(), logging.INFO)
    handler = logging.StreamHandler()
    handler.addFilter(Seldom())
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[handler])
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service)
