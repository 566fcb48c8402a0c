"""Which runs to return."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import attrs

from trio_steps._core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from .protocol import RunRecord, RunStatus


@final
@attrs.frozen(kw_only=True)
class Filter:
    """Which runs are asked for; None: whatever it is.

    Attributes:
      pipeline: the name of the pipeline.
      status: what became of it, one of these.
      since: updated then, or later.
      before: updated earlier.

    Raises:
      ConfigError: `status` is one text.
    """

    pipeline: str | None = None
    status: Collection[RunStatus] | None = None
    since: datetime | None = None
    before: datetime | None = None

    def __attrs_post_init__(self) -> None:
        if isinstance(self.status, str):  # which is a collection of letters
            raise ConfigError(f"runs(status={self.status!r}): give a tuple, status=({self.status!r},)")

    def matches(self, record: RunRecord) -> bool:
        """Tell whether it is one of these runs."""
        return (
            (self.pipeline is None or record.pipeline == self.pipeline)
            and (self.status is None or record.status in self.status)
            and (self.since is None or record.updated >= self.since)
            and (self.before is None or record.updated < self.before)
        )
