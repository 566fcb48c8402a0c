"""Which runs to return. Every store checks the arguments of `runs` here, before it looks at a run."""

from __future__ import annotations

import sys
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeGuard, cast, final, get_args

import attrs

from trio_steps._core.errors import ConfigError, short_repr
from trio_steps._values.scalars import is_plain

from .protocol import RunStatus

if TYPE_CHECKING:
    from .protocol import RunRecord

_STATUSES: Final[tuple[str, ...]] = get_args(RunStatus)


def check_status(call: str, status: object) -> None:
    """Refuse what is not a collection of statuses.

    Raises:
      ConfigError: it is not.
    """
    if isinstance(status, str):  # which is a collection of letters
        raise ConfigError(f"{call}(status={status!r}): give a tuple, status=({status!r},)")
    if not isinstance(status, Collection) or not all(each in _STATUSES for each in cast("Collection[object]", status)):
        some = ", ".join(map(repr, _STATUSES))
        raise ConfigError(f"{call}(status={short_repr(cast('Any', status))}): give a tuple of some of {some}")


def is_count(number: object) -> TypeGuard[int]:
    """Tell whether `number` can be a number of runs."""
    return isinstance(number, int) and not isinstance(number, bool) and number >= 0


def _countable(limit: int | None) -> int | None:
    """Return `limit`, or what is as good as that if it is more than there can be."""
    return min(limit, sys.maxsize) if is_count(limit) else limit


def long_ago(ago: timedelta) -> datetime:
    """Return the time that is so long ago; the earliest there is, if no calendar goes back that far."""
    try:
        return datetime.now(UTC) - ago
    except OverflowError:
        return datetime.min.replace(tzinfo=UTC)


@final
@attrs.frozen(kw_only=True)
class Filter:
    """Which runs are asked for; None: whatever it is.

    Attributes:
      pipeline: the name of the pipeline.
      status: what became of it, one of these.
      since: updated then, or later.
      before: updated earlier.
      limit: at most this many.
      after: only those that come after the run of this id.

    Raises:
      ConfigError: one of them is not valid.
    """

    pipeline: str | None = None
    status: Collection[RunStatus] | None = None
    since: datetime | None = None
    before: datetime | None = None
    limit: int | None = attrs.field(default=None, converter=_countable)
    after: str | None = None

    def __attrs_post_init__(self) -> None:
        if self.status is not None:
            check_status("runs", self.status)
        names: dict[str, object] = {"pipeline": self.pipeline, "after": self.after}
        for key, name in names.items():
            if name is not None and not (isinstance(name, str) and is_plain(name)):
                what = "the name of a pipeline" if key == "pipeline" else "the id of a run"
                raise ConfigError(f"runs({key}={short_repr(name)}): give {what}, as text")
        times: dict[str, object] = {"since": self.since, "before": self.before}
        for key, time in times.items():
            if time is not None and not (isinstance(time, datetime) and time.utcoffset() is not None):
                raise ConfigError(
                    f"runs({key}={short_repr(time)}): give a time with a time zone, "
                    f"{key}=datetime.now(UTC) - timedelta(days=1)"
                )
        if self.limit is not None and not is_count(self.limit):
            raise ConfigError(f"runs(limit={short_repr(self.limit)}): give the most runs to return, 0 or more")

    def matches(self, record: RunRecord) -> bool:
        """Tell whether it is one of these runs."""
        return (
            (self.pipeline is None or record.pipeline == self.pipeline)
            and (self.status is None or record.status in self.status)
            and (self.since is None or record.updated >= self.since)
            and (self.before is None or record.updated < self.before)
        )
