"""A plain model of what a fork has to do: no tasks, no Trio, no code of the engine.

It is an agenda of what is due when, and a loop that takes the earliest item. Time moves only there. Within one
moment, every action that can happen does, one at a time, until none is left: a slot is filled, a source is asked, a
fork whose paths have all ended concludes. The resulting `Story` is everything that a user could see.

The order within one moment is open: Trio shuffles tasks that wake together. Where several actions are possible at
once, the model takes the one that came first in the run that it is compared with (`Seen`). It works out by itself
what can happen, when, and with what result; the run only decides which of several possible actions comes first.

The contract leaves a few things open. The model follows the engine there:

- A value that is returned after an `all`, `race` or `quorum` has failed joins ``succeeded`` of its error; an error,
  ``failed`` and the group. After the deadline of the fork, values are late: given away, and their paths stand in
  ``failed`` as cancelled; errors join ``failed`` and the group all the same.
- In a `settle`, a path that is not done at the deadline is `Rejected` with a `StepTimeoutError`, however it ends; a
  late value is given away, a late error is reported.
- An outcome at exactly the deadline is late.
- The failure of a path before a race or a quorum was won is not an issue: it is reported as discarded only if the
  fork is cancelled from outside.
- A deadline that comes after the decision, while losers clean up, changes nothing.
- A token is held while a sync source is asked for the path, but not while an async one is, nor during a stagger's
  delay: no path needs it then.
- It is open which waiter of a shared limiter is next, and whether a path takes a token or the lane if both are free;
  but nothing stays free while a fork that could start a path waits for it.
- A fork that is cancelled from outside starts no path after that very moment. One that begins in a cancelled
  scope asks its source for a path, so that the source begins, and is closed.
- The values held by the error of a nested fork are given away when that error is dropped: when it is reported, or when
  it came before a race or a quorum was won.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from math import inf

from scenarios import CANCELLED, Around, Fork, Key, Leaf, PathSpec, Plain, Scenario, Seen, Story, ids_of

# State


@dataclass(eq=False)
class _Path:
    run: _Run
    index: int
    spec: PathSpec
    name: str
    slot: _Slot
    inner: _Run | None = None  # the fork that it is running
    wake: object = None  # what it waits for
    cleaning_up: bool = False
    lane_is_taken: bool = False


@dataclass(frozen=True)
class _Slot:
    """What a path needs to run: a place under a numeric limit, a token, or the lane of a path that holds a token."""

    token: bool = False
    lane_of: _Path | None = None


@dataclass(eq=False)
class _Run:
    spec: Fork
    name: str
    parent: _Path | None
    done: Callable[[Plain], None]
    ids: list[str]  # of all paths
    listed: int  # how many paths it knows of
    total: int | None
    next: int = 0  # the index of the path to start
    occupied: int = 0  # slots
    running: dict[int, _Path] = field(default_factory=dict)
    last_start: float = -inf
    failed_since: bool = False
    delay: object = None  # of the stagger
    # a lazy source
    dry: bool = False
    asking: object = None
    asking_slot: _Slot | None = None
    pulled: list[_Slot | None] = field(default_factory=list)  # for paths not yet started; None: needs a slot
    # how its paths ended
    values: dict[int, Plain] = field(default_factory=dict)
    errors: dict[int, Plain] = field(default_factory=dict)
    late_values: dict[int, Plain] = field(default_factory=dict)
    late_errors: dict[int, Plain] = field(default_factory=dict)
    source_error: Plain = None
    reason: tuple[str, ...] = ()  # which path decided, and how
    decided: bool = False
    timed_out: bool = False
    cancelled_at: float | None = None
    concluding: bool = False
    deadline: object = None

    def over(self) -> bool:
        return self.decided or self.timed_out or self.cancelled_at is not None

    def full_name(self, index: int) -> str:
        return f"{self.name}/{self.ids[index]}"

    def is_decided(self) -> bool:
        """The table of modes."""
        wins, failures = len(self.values), len(self.errors)
        all_ended = wins + failures == self.total
        if self.spec.mode == "race":
            return wins == 1 or all_ended
        if self.spec.mode == "all":
            return failures == 1 or all_ended
        if self.spec.mode == "quorum":
            return wins == self.spec.need or (self.total is not None and self.total - failures < self.spec.need)
        return all_ended


_Action = tuple[Key, Callable[[], None]]


class Model:
    """Plays one scenario."""

    def __init__(self, scenario: Scenario, seen: Seen, choices: tuple[int, ...] = ()) -> None:
        self.story = Story()
        self.chosen: list[int] = []
        """Which slot was taken each time there was a choice: as `choices` says, and after those the first slot."""
        self.ties = 0
        """How often more than one action was possible."""
        self.simultaneous = 0
        """How often two things were due at one time without a rule for which comes first: such a scenario is no use."""
        self.closes: dict[str, tuple[float, float]] = {}
        """For each fork, the earliest and the latest time at which its source may be closed."""
        self._scenario = scenario
        self._seen = seen
        self._choices = choices
        self._now = 0.0
        self._tokens = scenario.tokens
        self._agenda: dict[object, tuple[float, int, Callable[[], None]]] = {}
        self._runs: list[_Run] = []
        self._partials: dict[int, tuple[Plain, _Run]] = {}  # by id of the error: the error and its fork

    def play(self) -> Story:
        """Play the scenario, and return what must be seen."""
        scenario = self._scenario
        top = self._open(scenario.fork, scenario.fork.name, None, self._finish)
        if scenario.outer is not None:
            self._after(scenario.outer_seconds, lambda: self._cancel(top), rank=-1)
        while self.story.outcome is None:
            actions = list(self._actions())
            if actions:
                self.ties += len(actions) > 1
                min(actions, key=self._position)[1]()
            else:
                self.story.note_borrowed(self._now, self._scenario.tokens - self._tokens)
                wake = min(self._agenda, key=lambda wake: self._agenda[wake][:2])
                self._now, rank, what = self._agenda.pop(wake)
                self.simultaneous += any(due[:2] == (self._now, rank) for due in self._agenda.values())
                what()
        self.story.note_borrowed(self._now, self._scenario.tokens - self._tokens)
        return self.story

    def _finish(self, outcome: Plain) -> None:
        self.story.time = self._now
        if outcome == CANCELLED and self._scenario.outer == "fail":
            outcome = ("error", ("TooSlowError",))
        self.story.outcome = outcome

    # Time

    def _after(self, seconds: float, what: Callable[[], None], rank: int = 1) -> object:
        """Do `what` later. A lower rank comes first: deadlines, and before all others that of the outer scope."""
        wake = object()
        self._agenda[wake] = (self._now + seconds, rank, what)
        return wake

    def _position(self, action: _Action) -> int:
        position, time = self._seen.get(action[0], (len(self._seen), self._now))
        return position if time == self._now else len(self._seen)

    def _was_seen(self, key: Key) -> bool:
        return key in self._seen and self._seen[key][1] == self._now

    # What can happen now

    def _actions(self) -> Iterator[_Action]:
        for run in self._runs:
            if run.concluding:
                continue
            starts = [] if run.decided or run.timed_out else list(self._starts(run))
            if run.cancelled_at is not None:
                # A task that was spawned just before may still start its path. After that, none may.
                starts = [start for start in starts if run.cancelled_at == self._now and self._was_seen(start[0])]
            yield from starts
            if not starts and run.over() and not run.running and run.asking is None:
                yield ("end", run.name), partial(self._conclude, run)

    def _starts(self, run: _Run) -> Iterator[_Action]:
        room = self._free_slots(run)
        waits = None in run.pulled
        if run.pulled and (run.pulled[0] is not None or room):
            yield ("start", run.full_name(run.next)), lambda: self._start_pulled(run)
        paced = run.spec.stagger is None or run.failed_since or self._now >= run.last_start + run.spec.stagger
        if not paced or run.asking is not None or run.dry or run.next == run.total:
            return
        if not room and (waits or not run.spec.takes_first):
            return
        if run.spec.takes_first:
            yield ("pull", run.spec.name, run.listed), lambda: self._pull_ahead(run)
        elif run.spec.lazy:
            yield ("pull", run.spec.name, run.listed), lambda: self._pull(run, self._take(run))
        else:
            yield ("start", run.full_name(run.next)), lambda: self._take_and_start(run)

    def _free_slots(self, run: _Run) -> list[_Slot]:
        limit = run.spec.limit
        if limit != "shared":
            return [_Slot()] if limit is None or run.occupied < limit else []
        slots = [_Slot(token=True)] if self._tokens else []
        holder = run.parent
        while holder is not None and holder.run.spec.limit != "shared":
            holder = holder.run.parent
        if holder is not None and not holder.lane_is_taken:
            slots.append(_Slot(lane_of=holder))
        return slots

    def _take(self, run: _Run) -> _Slot:
        slots = self._free_slots(run)
        slot = slots[0]
        if len(slots) > 1:
            choice = self._choices[len(self.chosen)] if len(self.chosen) < len(self._choices) else 0
            self.chosen.append(choice)
            slot = slots[choice]
        run.occupied += 1
        self._tokens -= slot.token
        if slot.lane_of is not None:
            slot.lane_of.lane_is_taken = True
        return slot

    def _give_back(self, run: _Run, slot: _Slot | None) -> None:
        if slot is None:
            return
        run.occupied -= 1
        self._tokens += slot.token
        if slot.lane_of is not None:
            slot.lane_of.lane_is_taken = False

    # A source

    def _pull_ahead(self, run: _Run) -> None:
        if None in run.pulled:  # its turn has come, even if its task has not begun
            run.pulled[-1] = self._take(run)
            self._pace(run)
        self._pull(run, None)

    def _pull(self, run: _Run, slot: _Slot | None) -> None:
        self.story.pulls[run.spec.name, run.listed] = self._now
        seconds = run.spec.source_seconds[run.listed] if run.spec.source == "async" else None
        if seconds is None:
            self._pulled(run, slot)
        else:
            run.asking_slot = slot
            run.asking = self._after(seconds, lambda: self._pulled(run, slot))
            if run.cancelled_at is not None:
                self._stop_asking(run)

    def _pulled(self, run: _Run, slot: _Slot | None) -> None:
        run.asking = None
        if run.listed < len(run.spec.paths):
            run.listed += 1
            run.pulled.append(slot)
            if slot is not None:
                self._pace(run)
            return
        self._give_back(run, slot)
        run.dry = True
        self._close(run, self._now)
        if run.spec.source_fails:
            run.source_error = ("SourceError", run.spec.name, run.name)
            self._decide(run, ())
        else:
            run.total = run.listed
            if run.is_decided():
                self._decide(run, ())

    def _stop_asking(self, run: _Run) -> None:
        if run.asking is not None:
            del self._agenda[run.asking]
            run.asking = None
            run.dry = True  # the call of the source was cancelled
            self._give_back(run, run.asking_slot)

    def _close(self, run: _Run, latest: float) -> None:
        if run.spec.lazy:
            self.closes.setdefault(run.spec.name, (self._now, latest))

    # A path

    def _pace(self, run: _Run) -> None:
        run.last_start = self._now
        run.failed_since = False
        if run.spec.stagger:
            self._agenda.pop(run.delay, None)
            run.delay = self._after(run.spec.stagger, lambda: None)

    def _take_and_start(self, run: _Run) -> None:
        slot = self._take(run)
        self._pace(run)
        self._start(run, slot)

    def _start_pulled(self, run: _Run) -> None:
        slot = run.pulled.pop(0)
        if slot is None:
            slot = self._take(run)
            self._pace(run)
        self._start(run, slot)

    def _start(self, run: _Run, slot: _Slot) -> None:
        index, name = run.next, run.full_name(run.next)
        path = _Path(run, index, run.spec.paths[index], name, slot)
        run.next += 1
        run.running[index] = path
        self.story.starts[name] = self._now
        spec = path.spec
        if isinstance(spec, Fork):
            self._run_fork(path, spec, name)
        elif spec.seconds is not None:
            path.wake = self._after(spec.seconds, lambda: self._woken(path))
        else:
            self._woken(path)
        if run.cancelled_at is not None and run.running.get(index) is path:
            self._cancel_path(path)

    def _woken(self, path: _Path) -> None:
        spec = path.spec
        if isinstance(spec, Around):
            name = f"{path.name}/{spec.fork.name}"
            self.story.starts[name] = self._now
            self._run_fork(path, spec.fork, name)
        else:
            assert isinstance(spec, Leaf)
            self._end_path(path, self._own_end(path, spec, "raises" if spec.fails else "returns"))

    def _own_end(self, path: _Path, leaf: Leaf, how: str) -> Plain:
        if how == "returns":
            return ("value", ("value", leaf.key))
        return ("error", ("Boom", leaf.key, path.name)) if how == "raises" else CANCELLED

    def _run_fork(self, path: _Path, fork: Fork, name: str) -> None:
        def done(outcome: Plain) -> None:
            if name != path.name:
                self.story.ends[name] = (self._now, outcome[0])
            self._end_path(path, outcome)

        if path.run.cancelled_at is not None:
            self._begin_source(fork, name)
            done(CANCELLED)
        else:
            path.inner = self._open(fork, name, path, done)

    def _begin_source(self, fork: Fork, name: str) -> None:
        """Ask the source of a fork that begins in a cancelled scope."""
        if not fork.lazy:
            return
        self.story.pulls[fork.name, 0] = self._now
        self.closes[fork.name] = (self._now, self._now)
        if fork.source == "async" and fork.source_seconds[0] is not None:
            return  # the call of the source is cancelled
        if fork.paths:
            self.story.skipped[f"{name}/{ids_of(fork.paths)[0]}"] += 1
        elif fork.source_fails:
            self.story.reported[name, ("SourceError", fork.name, name)] += 1

    def _cancel_path(self, path: _Path) -> None:
        spec = path.spec
        if path.inner is not None:
            self._cancel(path.inner)
        elif isinstance(spec, Leaf) and (spec.shielded or path.cleaning_up):
            pass
        elif isinstance(spec, Leaf) and spec.clean_up is not None:
            clean_up = spec.clean_up
            path.cleaning_up = True
            del self._agenda[path.wake]
            path.wake = self._after(
                clean_up.seconds, lambda: self._end_path(path, self._own_end(path, spec, clean_up.then))
            )
        else:
            del self._agenda[path.wake]
            self._end_path(path, CANCELLED)

    def _end_path(self, path: _Path, outcome: Plain) -> None:
        run, index, how = path.run, path.index, outcome[0]
        del run.running[index]
        self._give_back(run, path.slot)
        self.story.ends[path.name] = (self._now, how)
        if how == "cancelled":
            return
        late = run.decided or run.timed_out
        if how == "value":
            (run.late_values if late else run.values)[index] = outcome[1]
        else:
            (run.late_errors if late else run.errors)[index] = outcome[1]
            run.failed_since = True
        if not late and run.is_decided():
            self._decide(run, (run.ids[index], "won" if how == "value" else "failed"))

    # A fork

    def _open(self, fork: Fork, name: str, parent: _Path | None, done: Callable[[Plain], None]) -> _Run:
        known = 0 if fork.lazy else len(fork.paths)
        run = _Run(fork, name, parent, done, ids_of(fork.paths), known, None if fork.lazy else known)
        self._runs.append(run)
        if fork.timeout is not None:
            run.deadline = self._after(fork.timeout, lambda: self._time_out(run), rank=0)
        if not fork.lazy and run.is_decided():
            self._decide(run, ())
        return run

    def _decide(self, run: _Run, reason: Plain) -> None:
        run.decided = True
        run.reason = reason
        self._close(run, self._now)
        self._stop(run)

    def _time_out(self, run: _Run) -> None:
        run.deadline = None
        if not run.decided:
            run.timed_out = True
            self._stop(run)

    def _cancel(self, run: _Run) -> None:
        if run.cancelled_at is None:
            run.cancelled_at = self._now
            self._stop(run)

    def _stop(self, run: _Run) -> None:
        self._close(run, inf)
        self._stop_asking(run)
        for path in list(run.running.values()):
            if run.running.get(path.index) is path:
                self._cancel_path(path)
        if run.decided or run.timed_out:
            while run.pulled:
                self._give_back(run, run.pulled.pop())

    def _conclude(self, run: _Run) -> None:
        """All paths have ended."""
        run.concluding = True
        while run.pulled:
            self._give_back(run, run.pulled.pop())
        if run.deadline is not None:
            del self._agenda[run.deadline]
        mode, timed_out = run.spec.mode, run.timed_out
        failed = (
            run.source_error is not None
            or (timed_out and mode != "settle")
            or (mode == "race" and not run.values)
            or (mode == "all" and bool(run.errors))
            or (mode == "quorum" and len(run.values) < run.spec.need)
        )
        answer = ("error", self._partial(run)) if failed else ("value", self._result(run))
        self._partials[id(answer[1])] = answer[1], run
        self.story.skipped.update(run.full_name(index) for index in range(run.next, run.listed))
        dropped: list[Plain] = []
        if not failed:
            dropped += self._report(run, run.late_errors)
            if mode in ("race", "quorum"):
                dropped += run.errors.values()
        if timed_out or not failed:
            self._discard(run, run.late_values, dropped, lambda: self._conclude_with(run, answer))
        else:
            self._conclude_with(run, answer)

    def _conclude_with(self, run: _Run, answer: Plain) -> None:
        if run.cancelled_at is None:
            self._leave(run, answer)
            return
        won = run.spec.mode in ("race", "quorum") and not run.timed_out and answer[0] == "value"
        errors = self._report(run, run.errors)
        dropped = ([] if won else errors) + self._report(run, run.late_errors)
        if run.source_error is not None:
            self.story.reported[run.name, run.source_error] += 1
        run.values.update(run.late_values)
        self._discard(run, run.values, dropped, lambda: self._leave(run, CANCELLED))

    def _leave(self, run: _Run, outcome: Plain) -> None:
        self._runs.remove(run)
        if run.spec.lazy:
            earliest, latest = self.closes[run.spec.name]
            self.closes[run.spec.name] = (earliest, min(latest, self._now))
        if run.parent is None:
            self.story.starts[run.name] = 0.0
            self.story.ends[run.name] = (self._now, outcome[0])
        run.done(outcome)

    def _report(self, run: _Run, errors: dict[int, Plain]) -> list[Plain]:
        for index, error in errors.items():
            self.story.reported[run.full_name(index), error] += 1
        reported = list(errors.values())
        errors.clear()
        return reported

    def _discard(self, run: _Run, values: dict[int, Plain], errors: list[Plain], then: Callable[[], None]) -> None:
        seconds = self._give_away(run, values) + sum(map(self._give_away_held, errors))
        values.clear()
        if seconds:
            self._after(seconds, then)
        else:
            then()

    def _give_away(self, run: _Run, values: dict[int, Plain]) -> float:
        """Give away values. Return how many seconds that takes."""
        dispose = run.spec.dispose
        for index, value in values.items():
            name = run.full_name(index)
            self.story.discarded[name, value, dispose is not None] += 1
            if dispose == "fails":
                self.story.reported[name, ("DisposeError", value)] += 1
        return len(values) * self._scenario.dispose_seconds if dispose == "slow" else 0.0

    def _give_away_held(self, error: Plain) -> float:
        """Give away the values that `error` holds, if it is the error of a fork. Return the seconds."""
        _, run = self._partials.get(id(error), (None, None))
        if run is None:
            return 0.0
        values = run.values if run.timed_out else {**run.values, **run.late_values}
        return self._give_away(run, values) + sum(map(self._give_away_held, (run.errors | run.late_errors).values()))

    # The outcome of a fork

    def _result(self, run: _Run) -> Plain:
        mode, values = run.spec.mode, run.values
        if mode == "race":
            return next(iter(values.values()))
        if mode != "settle":
            return ("tuple", *(values[index] for index in sorted(values)))
        return ("tuple", *(self._settled(run, index) for index in range(run.listed)))

    def _settled(self, run: _Run, index: int) -> Plain:
        if index in run.values:
            return ("fulfilled", run.ids[index], run.values[index])
        error = run.errors.get(index, ("StepTimeoutError", run.full_name(index), run.spec.timeout))
        return rejected(run.ids[index], error)

    def _partial(self, run: _Run) -> Plain:
        errors = {**run.errors, **run.late_errors}
        values = run.values if run.timed_out else {**run.values, **run.late_values}
        group = [errors[index] for index in sorted(errors)]
        if run.source_error is not None:
            group.append(run.source_error)
        elif run.timed_out:
            group.append(("StepTimeoutError", run.name, run.spec.timeout))
        elif run.total is not None and run.total < {"race": 1, "quorum": run.spec.need}.get(run.spec.mode, 0):
            group.append(("NoPathsError",))
        succeeded = tuple(("fulfilled", run.ids[index], values[index]) for index in sorted(values))
        failed = tuple(
            rejected(run.ids[index], errors.get(index) or self._stopped(run, index))
            for index in range(run.listed)
            if index not in values
        )
        return ("ForkPartialError", run.spec.name, tuple(group), succeeded, failed)

    def _stopped(self, run: _Run, index: int) -> Plain:
        return ("PathCancelledError", run.full_name(index), (run.spec.name, *run.reason), index < run.next)


_KINDS = {
    "Boom": "step_failed",
    "StepTimeoutError": "timed_out",
    "PathCancelledError": "cancelled",
    "ForkPartialError": "fork_partial",
}


def rejected(id: str, error: Plain) -> Plain:
    """Return the plain form of a `Rejected` with `error`."""
    return ("rejected", id, _KINDS[error[0]], error)
