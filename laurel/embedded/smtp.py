"""An SMTP server that keeps every mail as a file, in place of a real one."""

import re
import threading
import unicodedata
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from types import TracebackType
from typing import Self

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from .process import HOST, free_port, require_port

SIZE_MAX_BYTES = 10 * 1024 * 1024


class SmtpSink:
    """Takes mail and writes it to `folder` as `0001-subject.eml`; stop and start play an outage."""

    def __init__(self, folder: Path, *, port: int | None = None) -> None:
        """A port of None is any free one; it stays the same over stop and start."""
        self.folder = folder
        self.host = HOST
        self.port = port or free_port()
        self._controller: Controller | None = None
        self._lock = threading.Lock()

    @property
    def running(self) -> bool:
        """Whether mail is taken at present."""
        return self._controller is not None

    def start(self) -> None:
        """Take mail from now on."""
        if self._controller is not None:
            return
        require_port(self.port, "the mail sink")
        self.folder.mkdir(parents=True, exist_ok=True)
        controller = Controller(
            self, hostname=HOST, port=self.port, data_size_limit=SIZE_MAX_BYTES, enable_SMTPUTF8=True
        )
        controller.start()
        self._controller = controller

    def stop(self) -> None:
        """Refuse connections from now on; the mails stay."""
        if self._controller is not None:
            self._controller.stop()
            self._controller = None

    def files(self) -> list[Path]:
        """The mails' files in the order of their arrival."""
        return sorted(self.folder.glob("[0-9]*-*.eml"), key=_number)

    def mails(self) -> list[EmailMessage]:
        """The mails in the order of their arrival."""
        return [message_from_bytes(file.read_bytes(), policy=policy.default) for file in self.files()]

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: ARG002, N802
        """aiosmtpd calls this with each mail; it is on disk, whole, before the sender hears 250."""
        content = envelope.original_content or b""
        subject = str(message_from_bytes(content, policy=policy.default)["subject"] or "")
        with self._lock:
            present = self.files()
            number = _number(present[-1]) + 1 if present else 1
            file = self.folder / f"{number:04}-{_slug(subject)}.eml"
            unfinished = file.with_suffix(".unfinished")
            unfinished.write_bytes(content)
            unfinished.rename(file)
        return "250 OK"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _number(file: Path) -> int:
    return int(file.name.partition("-")[0])


def _slug(subject: str) -> str:
    """The subject as part of a file name: letters and digits of any script, words joined by dashes."""
    plain = unicodedata.normalize("NFC", subject).casefold()
    return re.sub(r"[^\w]+", "-", plain).strip("-")[:60] or "no-subject"
