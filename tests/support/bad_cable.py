"""A bad cable: every frame that a machine sends or gets comes later, and some not at all.

It stands in for `tc netem`, which not every kernel has: the machine's network device is replaced by a tap of the same
address, and a thread of this process carries frames from it to another tap on the bridge, and back.
"""

import fcntl
import heapq
import os
import random
import select
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.namespaces import Machine, ip

_TUNSETIFF = 0x400454CA
_TAP_WITHOUT_HEADER = 0x0002 | 0x1000
_FRAME_SIZE_BYTES_MAX = 1 << 16


@contextmanager
def bad_cable(machine: Machine, delay_s: float, loss: float) -> Iterator[None]:
    """Delay every frame of a machine by half of `delay_s` each way, and lose a share of them."""
    inner, outer = _tap(f"{machine.link}a"), _tap(f"{machine.link}b")
    stopping = threading.Event()
    thread = threading.Thread(target=_carry, args=(inner, outer, delay_s / 2, loss, stopping), daemon=True)
    ip("link", "set", f"{machine.link}b", "master", machine.bridge)
    ip("link", "set", f"{machine.link}b", "up")
    ip("link", "set", f"{machine.link}a", "netns", machine.name)
    thread.start()
    machine.use_device(f"{machine.link}a")
    try:
        yield
    finally:
        machine.use_device(machine.device)
        stopping.set()
        thread.join()
        # A tap is gone with the last file that is open on it.
        os.close(inner)
        os.close(outer)


def _tap(name: str) -> int:
    tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tap, _TUNSETIFF, struct.pack("16sH", name.encode(), _TAP_WITHOUT_HEADER))
    return tap


def _carry(inner: int, outer: int, delay_s: float, loss: float, stopping: threading.Event) -> None:
    generator, number = random.Random(1), 0
    waiting: list[tuple[float, int, int, bytes]] = []
    while not stopping.is_set():
        pause_s = 0.05 if not waiting else min(max(waiting[0][0] - time.monotonic(), 0.0), 0.05)
        for source in select.select([inner, outer], [], [], pause_s)[0]:
            frame = os.read(source, _FRAME_SIZE_BYTES_MAX)
            if generator.random() >= loss:
                number += 1
                target = outer if source == inner else inner
                heapq.heappush(waiting, (time.monotonic() + delay_s, number, target, frame))
        while waiting and waiting[0][0] <= time.monotonic():
            _, _, target, frame = heapq.heappop(waiting)
            try:
                os.write(target, frame)
            except OSError:
                # The device is not up; a cable loses such frames, too.
                continue
