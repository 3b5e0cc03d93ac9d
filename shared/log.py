"""Structured logs: one JSON object a line, with the correlation and causation ids of what is being done."""

import logging

import structlog

log: structlog.stdlib.BoundLogger = structlog.get_logger()


def configure(service: str, level: str) -> None:
    """Set up the process's logging; libraries' records below warning are dropped."""
    number = logging.getLevelNamesMapping().get(level.upper(), logging.INFO)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
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
