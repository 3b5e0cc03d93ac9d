"""A file system in memory that can be filled up and freed. Needs root on Linux."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

SIZE_KB = 2 * 1024 * 1024
"""At most; it takes only what is written to it."""
_SPARE_KB = 8


def available() -> bool:
    """Whether this process may mount."""
    return sys.platform == "linux" and os.geteuid() == 0 and shutil.which("mount") is not None


class SmallDisk:
    """A tmpfs at `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def mount(self) -> None:
        """Make it."""
        self.folder.mkdir(mode=0o711)
        options = f"size={SIZE_KB}k,mode=0711"
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "laurel-chaos", str(self.folder)], check=True)

    def unmount(self) -> None:
        """Remove it, also while somebody still looks."""
        subprocess.run(["umount", "-l", str(self.folder)], check=False, capture_output=True)

    def fill(self) -> None:
        """Leave next to nothing: the file system shrinks to what is on it."""
        for _ in range(50):
            seen = os.statvfs(self.folder)
            used_kb = (seen.f_blocks - seen.f_bfree) * seen.f_frsize // 1024
            # Somebody writes between the two calls: then it is refused, and we look again.
            if self._resize(used_kb + _SPARE_KB):
                return
        raise RuntimeError("the disk could not be filled: others write to it too fast")

    def free(self) -> None:
        """Give the space back."""
        if not self._resize(SIZE_KB):
            raise RuntimeError("the disk could not be freed")

    def _resize(self, kb: int) -> bool:
        command = ["mount", "-o", f"remount,size={kb}k", str(self.folder)]
        return subprocess.run(command, check=False, capture_output=True).returncode == 0
