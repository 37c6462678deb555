"""Settings of notifications: when people are told of episodes, how many at once, and when they are left alone."""

import re
from datetime import date, datetime, timedelta
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BeforeValidator, Field, field_validator, model_validator

from config.base import Count, DurationSeconds, Names, Settings, duration_seconds, fault, time_text

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEKDAYS: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

GROUP_WORDS = ("metric", "severity", "job")
"""What notifications may be grouped by besides key columns and labels."""

LABEL = "labels."

ABSENT = "absent"
"""Names the episodes of absent keys where metrics are named by their ids."""

RATE_COUNT_MAX = 1000
"""Largest cap: the group's state has a time for each."""

_HOURS = re.compile(r"([01]?\d|2[0-4]):([0-5]\d)-([01]?\d|2[0-4]):([0-5]\d)")


def _as_weekdays(value: Any) -> Any:
    """Return the days that texts such as `sat` or `mon-fri` name; anything else is left to be checked."""
    found: list[Any] = []
    for one in (value,) if isinstance(value, str) else value if isinstance(value, list | tuple) else ():
        first, dash, last = str(one).lower().partition("-")
        if dash and first in WEEKDAYS and last in WEEKDAYS:
            start, count = WEEKDAYS.index(first), (WEEKDAYS.index(last) - WEEKDAYS.index(first)) % 7 + 1
            found += [WEEKDAYS[(start + number) % 7] for number in range(count)]
        elif first not in WEEKDAYS or dash:
            raise fault((), f"{one!r} is no day; write {', '.join(WEEKDAYS)}, or a span such as mon-fri")
        else:
            found.append(first)
    return tuple(dict.fromkeys(found)) if isinstance(value, str | list | tuple) else value


def _as_dates(value: Any) -> Any:
    given = value if isinstance(value, list | tuple) else (value,)
    return tuple(time_text(one) for one in given)


DAYS_OF_WEEK = 7


class MuteSettings(Settings):
    """Times at which nobody is told of anything: those that fit days and hours, and holidays."""

    weekdays: Annotated[tuple[Weekday, ...], BeforeValidator(_as_weekdays)] = ()
    """Days such as `sat` or `mon-fri`; with `hours` both have to fit. None means all."""

    hours: str | None = None
    """Such as `22:00-06:00`, the end not included; a span over midnight is one of the day on which it begins."""

    holidays: Annotated[tuple[str, ...], BeforeValidator(_as_dates)] = ()
    """Dates such as `2026-12-25` that are muted from midnight to midnight, whatever days and hours say."""

    timezone: str = "UTC"
    """Where days and hours are those of, such as `Europe/Berlin`."""

    @field_validator("hours", mode="after")
    @classmethod
    def _check_hours(cls, hours: str | None) -> str | None:
        if hours is not None:
            found = _HOURS.fullmatch(hours)
            numbers = [int(text) for text in found.groups()] if found else []
            is_late = any(numbers[place] == 24 and numbers[place + 1] for place in (0, 2)) if numbers else True
            if is_late or numbers[:2] == numbers[2:] or numbers[0] == 24:
                raise fault((), f"{hours!r} is no span of hours; write it like 22:00-06:00")
        return hours

    @field_validator("holidays", mode="after")
    @classmethod
    def _check_holidays(cls, holidays: tuple[str, ...]) -> tuple[str, ...]:
        for number, text in enumerate(holidays):
            try:
                # Other forms of a date that Python reads would never be that of a day.
                is_date = date.fromisoformat(text).isoformat() == text
            except ValueError:
                is_date = False
            if not is_date:
                raise fault((number,), f"{text!r} is no date; write it like 2026-12-25")
        return holidays

    @field_validator("timezone", mode="after")
    @classmethod
    def _check_timezone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise fault((), f"{name!r} is no time zone; write it like Europe/Berlin, or UTC") from None
        return name

    @model_validator(mode="after")
    def _check_says_anything(self) -> "MuteSettings":
        if not self.weekdays and self.hours is None and not self.holidays:
            raise fault((), "nothing would be muted; give `weekdays`, `hours` or `holidays`")
        if len(set(self.weekdays)) == DAYS_OF_WEEK and self.hours is None:
            raise fault(("weekdays",), "nobody would ever be told; leave days out, or give `hours`")
        return self

    def mutes(self, now_us: int) -> bool:
        """Return whether a time, in microseconds since 1970, is one of these."""
        now = datetime.fromtimestamp(now_us // 1_000_000, ZoneInfo(self.timezone))
        if now.date().isoformat() in self.holidays:
            return True
        if not self.weekdays and self.hours is None:
            return False
        day = now.date()
        if self.hours is not None:
            start, end = (_minutes(text) for text in self.hours.split("-"))
            minute = now.hour * 60 + now.minute
            if start < end and not start <= minute < end:
                return False
            if start > end and end <= minute < start:
                return False
            if start > end and minute < end:
                day -= timedelta(days=1)
        return not self.weekdays or WEEKDAYS[day.weekday()] in self.weekdays

    @property
    def words(self) -> str:
        """What it says, for people."""
        parts = [", ".join(self.weekdays), self.hours or ""]
        usual = " ".join(part for part in parts if part)
        holidays = f"{len(self.holidays)} holiday{'s' * (len(self.holidays) != 1)}" if self.holidays else ""
        return f"{' and '.join(part for part in (usual, holidays) if part)} ({self.timezone})"


def _minutes(text: str) -> int:
    hour, minute = text.split(":")
    return int(hour) * 60 + int(minute)


class RateSettings(Settings):
    """How many notifications a sink is given at most."""

    max: Annotated[int, Field(gt=0, le=RATE_COUNT_MAX, strict=True)]
    """Notifications in any stretch of time as long as `per`, digests included."""

    per: DurationSeconds
    """Seconds, or a duration such as `1m`."""

    @field_validator("per", mode="after")
    @classmethod
    def _check_per(cls, per: float) -> float:
        if per < 1:
            raise fault((), f"{per:g} s is too short to count in; give at least 1s")
        return per


def _as_mutes(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else (value,)


class NotificationSettings(Settings):
    """The notification policy of a job; which sinks follow it is said by `JobSettings.follows_policy`."""

    group_by: Names = ()
    """Key columns, `metric`, `severity`, `labels.NAME`, `job`: episodes that agree in these are told together."""

    group_wait: DurationSeconds = 0.0
    """Seconds, or a duration such as `30s`, that the first news of a group waits for more."""

    repeat_after: Annotated[
        float | None, BeforeValidator(lambda value: None if value is None else duration_seconds(value))
    ] = Field(default=None, gt=0)
    """Seconds, or a duration such as `4h`, after which episodes that go on are said again; `None`: never."""

    rate: RateSettings | None = None
    """How many notifications each sink is given at most; what is above that is counted in a digest."""

    mute: Annotated[tuple[MuteSettings, ...], BeforeValidator(_as_mutes)] = ()
    """Times at which nobody is told; one mapping, or a list of them."""

    items_max: Count = 100
    """Items of one notification; a group that has more gets several."""

    @model_validator(mode="after")
    def _check_times(self) -> "NotificationSettings":
        if self.repeat_after is not None and self.repeat_after < max(self.group_wait, 1):
            text = f"{self.repeat_after:g} s is shorter than `group_wait`, {self.group_wait:g} s; give a longer time"
            way = text if self.group_wait >= 1 else f"{self.repeat_after:g} s is too short; give at least 1s"
            raise fault(("repeat_after",), way)
        for number, name in enumerate(self.group_by):
            if name in self.group_by[:number]:
                raise fault(("group_by", number), f"{name!r} is named twice; leave it out")
        if self.items_max > 1000:
            raise fault(("items_max",), f"{self.items_max} is too many for one notification; give at most 1000")
        return self

    def mutes(self, now_us: int) -> bool:
        """Return whether nobody is told of anything at a time."""
        return any(one.mutes(now_us) for one in self.mute)


class InhibitorSettings(Settings):
    """What makes an episode one that nobody needs to be told of."""

    id: str = Field(min_length=1)
    """`id` of what has episodes, or `absent`: while it has one that goes on, those of this one are withheld."""

    equal: Names | None = None
    """Key columns whose values both have; `None` means all that both have, and an empty list none."""


def as_inhibitors(value: Any) -> Any:
    """Return `inhibited_by` as a list of mappings; an id stands for itself."""
    given = value if isinstance(value, list | tuple) else (value,)
    return tuple({"id": one} if isinstance(one, str) else one for one in given)


Inhibitors = Annotated[tuple[InhibitorSettings, ...], BeforeValidator(as_inhibitors)]
