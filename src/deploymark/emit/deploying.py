"""Marks a deploy around the code that does it: planned and applying, then applied or failed."""

from types import TracebackType
from typing import Any, Final, Self

from deploymark.emit.emitter import Emitter, Marked
from deploymark.model.vocabulary import Phase

_REASON_CHARACTERS: Final = 256


class Deploying:
    """A deploy under way; see `deploying`.

    Attributes:
        deployment_id: The deployment's id; "" when the marker was refused.
        marks: What became of each marker, in order.
    """

    def __init__(self, emitter: Emitter, fields: dict[str, Any]) -> None:
        self.deployment_id = ""
        self.marks: list[Marked] = []
        self._emitter = emitter
        self._fields = fields

    def mark(self, phase: str, /, **fields: Any) -> Marked:  # noqa: ANN401 - JSON values
        """Say more about this deployment; what is given here wins over what it began with."""
        marked = self._emitter.mark(phase, **{**self._fields, **fields})
        self.deployment_id = self.deployment_id or marked.deployment_id
        self.marks.append(marked)
        return marked

    def __enter__(self) -> Self:
        """Say that the deploy is planned and being applied."""
        self.mark(Phase.PLANNED)
        self.mark(Phase.APPLYING)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Say how it ended; an exception goes on."""
        succeeded = error is None or (isinstance(error, SystemExit) and error.code in (None, 0))
        if succeeded:
            self.mark(Phase.APPLIED)
        else:
            self.mark(Phase.FAILED, reason=_reason(error))


def _reason(error: BaseException | None) -> str:
    try:
        first = str(error).partition("\n")[0].strip()
    except Exception:  # noqa: BLE001 - an exception that cannot describe itself
        first = ""
    name = type(error).__name__
    reason = f"{name}: {first}" if first else name
    # What cannot be sent, such as half a surrogate pair, must not cost the marker.
    clean = reason.encode(errors="replace").decode().replace("\0", "")
    return clean if len(clean) <= _REASON_CHARACTERS else clean[: _REASON_CHARACTERS - 1] + "…"
