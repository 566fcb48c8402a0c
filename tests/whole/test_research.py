"""The main example, run for real. It takes real time, because it uses real sockets."""

from __future__ import annotations

import re

import pytest
from places import EXAMPLES

EXAMPLE = EXAMPLES / "research.py"


@pytest.fixture(scope="module")
def scenes(python):
    """What the example printed, by title of the scene."""
    done = python.run(EXAMPLE)
    assert (done.returncode, done.stderr) == (0, "")
    _, *parts = re.split(r"^── (.+) ──\n", done.stdout, flags=re.MULTILINE)
    return dict(zip(parts[::2], parts[1::2], strict=True))


@pytest.fixture
def scene(scenes, request):
    return scenes[request.param]


def results(scene):
    return re.findall(r"^→ (.+)$", scene, re.MULTILINE)


def endings(scene):
    """Return the end of each line of the timeline: for each name, its mark and the note about it."""
    note = r"cancelled .*|never started.*|\w+Error: .*|\d+ retries .*|"
    lines = re.findall(rf"^ *([✓★✗⊘»·▸]) (\S+) .*?({note})$", scene, re.MULTILINE)
    return {name: (mark, re.sub(r"at [\d.]+ m?s", "at …", said)) for mark, name, said in lines}


def test_example_has_six_scenes(scenes):
    assert list(scenes) == ["race", "all", "settle", "race, with a stagger", "quorum", "all, two at a time"]


def test_example_says_what_each_scene_shows(scenes):
    for scene in scenes.values():
        assert re.match(r"[A-Z][^\n]+\.\n\n→ ", scene)


def test_example_uses_no_colors_in_a_pipe(scenes):
    assert "\x1b" not in "".join(scenes.values())


@pytest.mark.parametrize("scene", ["race"], indirect=True)
def test_race_is_won_by_the_fastest_mirror_that_works(scene):
    assert results(scene) == ["the page, from Oslo"]
    assert endings(scene) == {
        "fastest-mirror": ("✓", ""),
        "mirror-tokyo": ("⊘", "cancelled at …: path 'mirror-oslo' won"),
        "mirror-oslo": ("★", ""),
        "mirror-lima": ("✗", "ServiceError: out of sync"),
    }


@pytest.mark.parametrize("scene", ["all"], indirect=True)
def test_all_tells_what_succeeded_failed_and_was_cancelled(scene):
    assert results(scene) == [
        "academic: 3 papers",
        "news: step_failed (ServiceError)",
        "social: cancelled (PathCancelledError)",
    ]
    assert endings(scene) == {
        "gather-research": ("✗", "ForkPartialError: 1 of 3 paths failed"),
        "academic": ("✓", ""),
        "news": ("✗", "ServiceError: over quota"),
        "social": ("⊘", "cancelled at …: path 'news' failed"),
    }


@pytest.mark.parametrize("scene", ["settle"], indirect=True)
def test_settle_has_a_result_for_every_source_at_the_deadline(scene):
    assert results(scene) == [
        "academic: 3 papers",
        "news: ServiceError('over quota')",
        "social: StepTimeoutError('survey/social', 0.35)",
    ]
    assert endings(scene) == {
        "survey": ("✓", ""),
        "academic": ("✓", ""),
        "news": ("✗", "ServiceError: over quota"),
        "social": ("⊘", "cancelled at …: timed out after 0.35 s"),
    }


@pytest.mark.parametrize("scene", ["race, with a stagger"], indirect=True)
def test_hedged_request_is_answered_by_the_second_replica_and_never_asks_the_third(scene):
    assert results(scene) == ["the row, from replica 2"]
    assert endings(scene) == {
        "hedged-request": ("✓", ""),
        "replica-1": ("⊘", "cancelled at …: path 'replica-2' won"),
        "replica-2": ("★", ""),
        "replica-3": ("·", "never started: path 'replica-2' won"),
    }


@pytest.mark.parametrize("scene", ["quorum"], indirect=True)
def test_quorum_does_not_wait_for_the_expert_who_hangs(scene):
    assert results(scene) == ["yes and yes"]
    assert endings(scene) == {
        "fact-check": ("✓", ""),
        "expert-1": ("✓", ""),
        "expert-2": ("⊘", "cancelled at …: path 'expert-3' won"),
        "expert-3": ("✓", ""),
    }


@pytest.mark.parametrize("scene", ["all, two at a time"], indirect=True)
def test_bounded_fork_returns_in_path_order_and_retries_the_busy_archive(scene):
    assert results(scene) == ["12 + 7 + 9 + 4 + 10"]
    assert endings(scene) == {
        "crawl-archives": ("✓", ""),
        "archive-1": ("✓", ""),
        "archive-2": ("✓", "2 retries after ServiceError: busy"),
        "archive-3": ("✓", ""),
        "archive-4": ("✓", ""),
        "archive-5": ("✓", ""),
    }
