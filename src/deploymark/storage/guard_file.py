"""The rollback guard in a file, by default beside the data directory.

A backup that restores the data directory leaves this file as it is; that difference is what the
guard lives on. Keep it on another disk, or let a witness play its part, where that matters.
"""

from pathlib import Path

from deploymark.durable import write_whole
from deploymark.errors import DataDirectoryError, DeploymarkError, StoreUnavailableError


class FileRollbackGuard:
    """Keeps origin, size and root of the last published checkpoint as three lines of text.

    Args:
        path: The file; replaced whole at each publication.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> tuple[str, int, bytes] | None:
        """See `RollbackGuard.read`."""
        try:
            text = self.path.read_bytes().decode("utf-8")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise self._unreadable(str(error)) from error
        lines = text.split("\n")
        try:
            origin, size, root, end = lines
            remembered = (origin, int(size), bytes.fromhex(root))
        except ValueError as error:
            raise self._unreadable("it is not three lines") from error
        if end or not origin or size.startswith("-") or self._text(*remembered) != text:
            raise self._unreadable("it is not three lines of origin, size and root")
        return remembered

    def write(self, origin: str, size: int, root: bytes) -> None:
        """See `RollbackGuard.write`."""
        try:
            write_whole(self.path, self._text(origin, size, root).encode("utf-8"))
        except OSError as error:
            raise StoreUnavailableError(
                f"The rollback guard {self.path} cannot be written: {error}.",
                hint="Nothing was published. Make room or give permission, then try again.",
            ) from error

    @staticmethod
    def _text(origin: str, size: int, root: bytes) -> str:
        return f"{origin}\n{size}\n{root.hex()}\n"

    def _unreadable(self, why: str) -> DeploymarkError:
        return DataDirectoryError(
            f"The rollback guard {self.path} cannot be read: {why}.",
            hint="Bring back the file as it was last written; it is one small text file.",
        )
