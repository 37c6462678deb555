"""Hosts of this process as ports: what is asked of one is done at once."""

from collections.abc import Callable
from typing import Any

from actors.host import PartitionHost


class Answered:
    """A reply that is there at once."""

    def __init__(self, action: Callable[[], Any]) -> None:
        self._action = action

    def wait(self, timeout_s: float = 0.0) -> Any:
        """Return it, or raise what the host raises."""
        return self._action()

    def when_done(self, take: Callable[[Any], None], fail: Callable[[Exception], None]) -> None:
        """Have one of the two called."""
        try:
            answer = self._action()
        except Exception as error:
            fail(error)
        else:
            take(answer)


class NearHost:
    """A host of this process as a port."""

    def __init__(self, host: PartitionHost) -> None:
        self._host = host

    def __getattr__(self, name: str) -> Callable[..., Answered]:
        return lambda *arguments: Answered(lambda: getattr(self._host, name)(*arguments))

    def ready(self) -> Answered:
        """Answer that it has started."""
        return Answered(lambda: True)

    def query(self, method: str, *arguments: Any) -> Answered:
        """Ask one of the reading methods."""
        return Answered(lambda: getattr(self._host, method)(*arguments))
