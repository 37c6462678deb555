"""A process that ends at one of its changes to directories, tried for each of them."""

import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest

CHANGES = ((os, "rename"), (os, "mkdir"), (os, "replace"), (os, "unlink"), (os, "fsync"), (shutil, "rmtree"))
"""What is counted; the end comes instead of the call."""


class CrashError(BaseException):
    """The process is gone."""


def crashes(action: Callable[[], object]) -> Iterator[int]:
    """Run an action again and again, ended at its first change, its second and so on, until it comes to its end.

    The caller makes the world anew and yields to nobody: between two runs it looks at what the crash has left.
    """
    number = 0
    while True:
        left = [number]

        def counted(original: Callable[..., Any], left: list[int] = left) -> Callable[..., Any]:
            def call(*arguments: Any, **options: Any) -> Any:
                if not left[0]:
                    raise CrashError
                left[0] -= 1
                return original(*arguments, **options)

            return call

        with pytest.MonkeyPatch.context() as patch:
            for module, name in CHANGES:
                patch.setattr(module, name, counted(getattr(module, name)))
            try:
                action()
            except CrashError:
                has_crashed = True
            else:
                has_crashed = False
        yield number
        if not has_crashed:
            return
        number += 1
