"""Libraries that say the same over and over are heard now and then."""

import logging

from shared.log import Seldom


def _record(message: str, *arguments: object, name: str = "aiokafka") -> logging.LogRecord:
    return logging.LogRecord(name, logging.ERROR, __file__, 1, message, arguments, None)


def test_the_same_words_come_once_in_a_while_and_with_their_number() -> None:
    moment = 0.0
    seldom = Seldom(10.0, lambda: moment)
    assert seldom.filter(_record("no connection to %s", 1))
    assert not any(seldom.filter(_record("no connection to %s", node)) for node in range(40))
    moment = 10.0
    again = _record("no connection to %s", 1)
    assert seldom.filter(again)
    assert again.getMessage() == "no connection to 1 (and 40 times since it was said last)"


def test_other_words_and_other_libraries_are_heard_at_once() -> None:
    seldom = Seldom(10.0, lambda: 0.0)
    said = [_record("one"), _record("another"), _record("one", name="asyncpg")]
    assert all(seldom.filter(record) for record in said)
