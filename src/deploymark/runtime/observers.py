"""Picks the observers of places that are reached over a network, and reads their options.

One row of `KINDS` for each; an adapter is imported when somebody wants to look through it, so that
nobody installs what they do not use. The observer of local processes needs nothing and is no kind.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from importlib import import_module
from typing import Any, Final, NamedTuple, Protocol

import msgspec

from deploymark.decoding import convert
from deploymark.errors import UsageError
from deploymark.ports import Observer

KUBERNETES: Final = "kubernetes"
LAMBDA: Final = "lambda"


class Kind(NamedTuple):
    """Where an observer is found.

    Attributes:
        module: Its module below `deploymark.integrations`.
        options: The Struct of its options there.
        observer: The class there, made of the options alone.
    """

    module: str
    options: str
    observer: str


KINDS: Final[Mapping[str, Kind]] = {
    KUBERNETES: Kind("kubernetes.pods", "PodsOptions", "KubernetesPods"),
    LAMBDA: Kind("aws_lambda.functions", "FunctionsOptions", "LambdaFunctions"),
}
"""Every observer of a place that is reached over a network."""


class _Connected(Observer, Protocol):
    def close(self) -> None: ...


@contextmanager
def open_observers(kind: str, options: Sequence[Mapping[str, Any]]) -> Iterator[list[Observer]]:
    """Give an observer for each set of options; on leaving, their connections are closed.

    Args:
        kind: One of `KINDS`.
        options: Of each; nothing is asked yet.

    Raises:
        UsageError: An option is not what it may be, or the place cannot be reached as configured.
        ExtraMissingError: It needs a part of the distribution that is not installed.
    """
    row = KINDS[kind]
    module = import_module(f"deploymark.integrations.{row.module}")
    make: Callable[[Any], _Connected] = getattr(module, row.observer)
    with ExitStack() as stack:
        opened: list[Observer] = []
        for each in options:
            try:
                read = convert(dict(each), getattr(module, row.options))
            except msgspec.ValidationError as error:
                raise UsageError(f"What {kind} is looked at with is wrong: {error}.") from error
            observer = make(read)
            stack.callback(observer.close)
            opened.append(observer)
        yield opened
