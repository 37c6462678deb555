"""A log on disk with its writers and what rotates it, by a clock of its own."""

import gzip
import os
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

EPOCH_NS = 1_700_000_000_000_000_000


@dataclass
class Writer:
    """A program that keeps its log open."""

    name: str
    descriptor: int
    path: Path
    """Where the file is that it has open, for its time."""

    written: list[str] = field(default_factory=list)
    half: str = ""
    """Beginning of a line that is on disk already."""

    rest: str = ""


class RotatingLog:
    """A folder with one log; `style` is how rotated files are named: `number` or `date`."""

    def __init__(self, folder: Path, random: Random, style: str, writer_count: int, header: str = "") -> None:
        self.path = folder / "app.log"
        self.header = header
        self.deleted: list[Path] = []
        self._random = random
        self._style = style
        self._clock_ns = EPOCH_NS
        self._rotation_count = 0
        self._line_count = 0
        self._create()
        self.writers = [Writer(f"w{n}", self._open(), self.path) for n in range(writer_count)]

    def rotated(self) -> list[Path]:
        """Return the rotated files, the newest first."""
        found = [one for one in self.path.parent.iterdir() if one.name.startswith("app.log.")]
        if self._style == "number":
            return sorted(found, key=lambda one: int(one.name.split(".")[2]))
        return sorted(found, reverse=True)

    def write(self, writer: Writer) -> None:
        """Write a line, or the rest of one."""
        if writer.half:
            self._append(writer, writer.rest)
            writer.written.append(writer.half + writer.rest)
            writer.half = ""
        else:
            self._finish_others(writer)
            line = self._line(writer)
            self._append(writer, line)
            writer.written.append(line)

    def write_half(self, writer: Writer) -> None:
        """Write the beginning of a line."""
        if writer.half:
            return
        self._finish_others(writer)
        line = self._line(writer)
        cut = self._random.randrange(1, len(line) - 1)
        writer.half, writer.rest = line[:cut], line[cut:]
        self._append(writer, writer.half)

    def _finish_others(self, writer: Writer) -> None:
        for other in self.writers:
            if other is not writer and other.half and other.path == writer.path:
                self.write(other)

    def rename_and_create(self) -> None:
        """Rotate; writers go on in the old file until they reopen."""
        for writer in self.writers:
            if writer.path != self.path:
                self.reopen(writer)
        self._shift()
        target = self._first_name()
        self.path.rename(target)
        for writer in self.writers:
            if writer.path == self.path:
                writer.path = target
        self._create()

    def reopen(self, writer: Writer) -> None:
        """Let a writer open the file of the name anew, once it is done with its line."""
        if writer.half:
            self.write(writer)
        os.close(writer.descriptor)
        writer.descriptor, writer.path = self._open(), self.path

    def copy_and_truncate(self) -> None:
        """Copy the file and cut it to nothing."""
        if any(writer.half or writer.path != self.path for writer in self.writers):
            return
        self._shift()
        target = self._first_name()
        target.write_bytes(self.path.read_bytes())
        self._touch(target)
        os.truncate(self.path, 0)
        if self.header:
            with self.path.open("a") as file:
                file.write(self.header)
        self._touch(self.path)

    def compress(self) -> None:
        """Compress a rotated file that nobody has open."""
        busy = {writer.path for writer in self.writers}
        free = [one for one in self.rotated() if one.suffix != ".gz" and one not in busy]
        if free:
            one = self._random.choice(free)
            packed = one.with_name(f"{one.name}.gz")
            packed.write_bytes(gzip.compress(one.read_bytes()))
            time_ns = one.stat().st_mtime_ns
            os.utime(packed, ns=(time_ns, time_ns))
            one.unlink()

    def delete_oldest(self) -> None:
        """Delete the oldest rotated file that nobody has open."""
        files = self.rotated()
        if files and files[-1] not in {writer.path for writer in self.writers}:
            files[-1].unlink()
            self.deleted.append(files[-1])

    def close(self) -> None:
        """Let writers end."""
        for writer in self.writers:
            if writer.half:
                self.write(writer)
            os.close(writer.descriptor)

    def _line(self, writer: Writer) -> str:
        self._line_count += 1
        return f"{self._line_count},{writer.name},{self._line_count % 100}\n"

    def _append(self, writer: Writer, text: str) -> None:
        os.write(writer.descriptor, text.encode())
        self._touch(writer.path)

    def _touch(self, path: Path) -> None:
        self._clock_ns += 1_000_000_000
        os.utime(path, ns=(self._clock_ns, self._clock_ns))

    def _create(self) -> None:
        self.path.write_text(self.header)
        self._touch(self.path)

    def _open(self) -> int:
        return os.open(self.path, os.O_WRONLY | os.O_APPEND)

    def _first_name(self) -> Path:
        self._rotation_count += 1
        tail = "1" if self._style == "number" else f"{20260101 + self._rotation_count}"
        return self.path.with_name(f"app.log.{tail}")

    def _shift(self) -> None:
        if self._style != "number":
            return
        for one in reversed(self.rotated()):
            parts = one.name.split(".")
            parts[2] = str(int(parts[2]) + 1)
            target = one.with_name(".".join(parts))
            for writer in self.writers:
                if writer.path == one:
                    writer.path = target
            one.rename(target)
