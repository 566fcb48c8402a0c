"""for_each over a pipeline: each element has its own context, and its result is that of a run."""

from __future__ import annotations

import dataclasses
from typing import Any, TypedDict

import attrs
import pytest
import trio

from trio_steps import (
    Checkpoint,
    ConfigError,
    ForkPartialError,
    Fulfilled,
    KeyCollisionError,
    Pipeline,
    Rejected,
    Retry,
    StepCancelled,
    StepFailed,
    StepTimeoutError,
    current_scope,
    fork,
    otherwise,
    when,
)
from trio_steps.testing import MemoryStore

ran: list[str] = []


async def fetch(image, scale=1):
    ran.append(current_scope().name)
    await trio.sleep(image)
    return {"data": image * scale}


async def shrink(data):
    ran.append(current_scope().name)
    await trio.sleep(1)
    return {"thumb": data / 2}


THUMB = Pipeline("thumb").step("fetch", fetch).step("shrink", shrink)


def thumbs(inner=THUMB, **options):
    return Pipeline("root").for_each("thumbs", inner, over="images", each="image", into="thumbs", **options)


@pytest.fixture(autouse=True)
def forget():
    del ran[:]


class Picture(TypedDict):
    image: int


class Path(TypedDict):
    image: str


class Images(TypedDict):
    images: list[int]


@attrs.frozen
class Thumb:
    thumb: float
    tags: list[str] = attrs.field(factory=list)


@dataclasses.dataclass
class ThumbData:
    thumb: float


# The result


async def test_result_of_an_element_is_what_a_run_in_its_context_returns() -> None:
    inputs = {"images": [4, 2], "scale": 10}
    result = await thumbs().run(inputs)
    assert result["thumbs"] == [await THUMB.run({**inputs, "image": image}) for image in (4, 2)]
    assert result["thumbs"][1] == {"images": [4, 2], "scale": 10, "image": 2, "data": 20, "thumb": 10}


async def test_elements_run_at_once_and_change_nothing_but_the_results() -> None:
    assert list(await thumbs().run({"images": [4, 2]})) == ["images", "thumbs"]
    assert trio.current_time() == 5


async def test_elements_run_as_many_at_once_as_they_may() -> None:
    await thumbs(concurrency=1).run({"images": [4, 2]})
    assert trio.current_time() == 8


async def test_results_over_a_mapping_are_keyed_alike() -> None:
    result = await thumbs().run({"images": {"a": 4, "b": 2}})
    assert {key: value["thumb"] for key, value in result["thumbs"].items()} == {"a": 2, "b": 1}


async def test_steps_have_the_element_in_their_names() -> None:
    await thumbs().run({"images": [4, 2]})
    assert ran == ["thumbs/1/fetch", "thumbs/2/fetch", "thumbs/2/shrink", "thumbs/1/shrink"]


@pytest.mark.parametrize("done", [Thumb, ThumbData])
async def test_pipeline_with_outputs_gives_an_instance_for_each_element(done) -> None:
    result = await thumbs(THUMB.outputs(done)).run({"images": [4, 2]})
    assert result["thumbs"] == [done(2), done(1)]


async def test_instance_for_an_element_has_values_of_its_own() -> None:
    inner = Pipeline("thumb").step("s", lambda image: {"thumb": 1.0}).outputs(Thumb)
    result = (
        await thumbs(inner)
        .step("more", lambda thumbs: {"thumbs": [thumbs[0].tags.append("x"), *thumbs][1:]})
        .run({"images": [1, 2], "tags": ["t"]})
    )
    assert [thumb.tags for thumb in result["thumbs"]] == [["t", "x"], ["t"]]
    assert result["tags"] == ["t"]


async def test_typed_dict_of_outputs_leaves_the_result_a_dict() -> None:
    class Done(TypedDict):
        thumb: float

    assert (await thumbs(THUMB.outputs(Done)).run({"images": [2]}))["thumbs"][0]["thumb"] == 1


async def test_transform_at_the_end_leaves_what_is_wanted() -> None:
    inner = THUMB.transform("only", lambda thumb: {"thumb": thumb})
    assert (await thumbs(inner).run({"images": [4, 2]}))["thumbs"] == [{"thumb": 2}, {"thumb": 1}]


async def test_settled_elements_are_settle_results_with_the_error_of_the_step() -> None:
    error = OSError("no")

    def check(image):
        if image == 2:
            raise error

    inner = Pipeline().step("check", check).transform("t", lambda image: {"i": image})
    assert (await thumbs(inner, mode="settle").run({"images": [1, 2, 3]}))["thumbs"] == [
        Fulfilled("1", {"i": 1}),
        Rejected("2", error),
        Fulfilled("3", {"i": 3}),
    ]
    assert error.__notes__ == ["in step 'thumbs/2/check'"]


async def test_element_that_fails_cancels_the_others() -> None:
    def bad(data):
        raise OSError

    events = []
    p = thumbs(Pipeline().step("fetch", fetch).step("bad", bad))
    with pytest.raises(ForkPartialError) as caught:
        await p.run({"images": [1, 5]}, observers=[events.append])
    assert trio.current_time() == 1
    assert [failed.step_id for failed in caught.value.failed] == ["1", "2"]
    assert [e.name for e in events if isinstance(e, StepCancelled)] == ["thumbs/2/fetch", "thumbs/2"]
    assert [e.name for e in events if isinstance(e, StepFailed)] == ["thumbs/1/bad", "thumbs/1", "thumbs", "root"]


# The context of an element


async def test_element_and_context_are_copies() -> None:
    def spoil(image, tags):
        image.append("mine")
        tags.append("mine")

    inner = Pipeline().step("spoil", spoil).step("see", lambda image, tags: {"seen": (image, tags)})
    result = await thumbs(inner).run({"images": [[1], [2]], "tags": []})
    assert [part["seen"] for part in result["thumbs"]] == [([1], []), ([2], [])]
    assert (result["images"], result["tags"]) == ([[1], [2]], [])


async def test_result_shares_nothing_with_the_other_keys_of_the_callers_dict() -> None:
    result = await thumbs(Pipeline().step("s", lambda image: None)).run({"images": [1]})
    result["thumbs"][0]["images"].append("mine")
    assert result["images"] == [1]


async def test_elements_of_a_shared_collection_are_shared() -> None:
    one, seen = [], []
    inner = Pipeline().step("s", lambda image: seen.append(image))
    p = Pipeline(share=("images",)).for_each("e", inner, over="images", each="image", into="out")
    await p.run({"images": [one]})
    await Pipeline(share=("images",)).step("nest", thumbs(inner)).run({"images": [one]})
    assert [value is one for value in seen] == [True, True]


async def test_key_that_a_step_overrides_is_the_elements_own() -> None:
    inner = Pipeline().step("count", lambda n, image: {"n": n + image})
    result = await thumbs(inner, concurrency=1).run({"images": [1, 2], "n": 10})
    assert [part["n"] for part in result["thumbs"]] == [11, 12]
    assert result["n"] == 10


async def test_collision_with_the_element_names_it() -> None:
    inner = Pipeline().step("s", lambda image: {"image": 0}, merge_policy="error")
    with pytest.raises(ForkPartialError) as caught:
        await thumbs(inner).run({"images": [1]})
    [error] = caught.value.exceptions
    assert isinstance(error, KeyCollisionError)
    assert error.sources == ("thumbs/1", "thumbs/1/s")


async def test_results_are_merged_under_the_policy() -> None:
    with pytest.raises(KeyCollisionError) as caught:
        await thumbs(merge_policy="error").run({"images": [1], "thumbs": 0})
    assert caught.value.sources == ("the input", "thumbs")


async def test_everything_nests() -> None:
    inner = (
        Pipeline("inner")
        .step("group", lambda image: {"a": image}, Pipeline("sub").step("s", lambda image: {"b": image}))
        .branch_on("b", when(lambda image: image == 1, lambda p: p.step("one", lambda: {"c": 1})), otherwise(THUMB))
        .for_each("again", Pipeline().step("t", lambda n, image: {"t": (n, image)}), over="ns", each="n", into="m")
        .transform("end", lambda a, b, m, c=0, thumb=0: {"end": (a, b, c, thumb, [part["t"] for part in m])})
    )
    result = await thumbs(inner).run({"images": [1, 2], "ns": [7, 8]})
    assert result["thumbs"] == [{"end": (1, 1, 1, 0, [(7, 1), (8, 1)])}, {"end": (2, 2, 0, 1, [(7, 2), (8, 2)])}]


async def test_policies_and_timeout_are_those_of_the_whole() -> None:
    tries = []

    def flaky(data):
        tries.append(data)
        if len(tries) == 1:
            raise OSError
        return {"thumb": data}

    await thumbs(Pipeline().step("fetch", fetch).step("flaky", flaky), retry=Retry(2)).run({"images": [1]})
    assert ran == ["thumbs/1/fetch", "thumbs/1/fetch"]
    with pytest.raises(ForkPartialError) as caught:
        await thumbs(timeout=3).run({"images": [1, 5]})
    assert isinstance(caught.value.exceptions[-1], StepTimeoutError)


# Built


def test_pipeline_for_each_is_shown_with_a_star_for_the_element() -> None:
    p = thumbs()
    assert p.step_names == ("thumbs", "thumbs/*/fetch", "thumbs/*/shrink")
    assert p.describe() == "root\n  thumbs (for each image of images)\n    fetch\n    shrink"
    assert p.input_of("thumbs/*/shrink") == p.input_of("thumbs/2/shrink") == {}
    for name in ("thumbs/1", "thumbs/*/gone"):
        with pytest.raises(KeyError, match="has no step"):
            p.input_of(name)


def test_type_of_the_results_is_that_of_the_pipeline() -> None:
    inner = Pipeline(inputs=Picture).step("s", lambda image: 1.0, provides="thumb")
    loop = {"over": "images", "each": "image", "into": "out"}
    p = Pipeline(inputs=Images)
    assert p.for_each(inner, **loop).output_of()["out"] == list[dict[str, Any]]
    assert p.for_each(inner.outputs(ThumbData), **loop).output_of()["out"] == list[ThumbData]
    settled = p.for_each(inner.outputs(ThumbData), **loop, mode="settle").output_of()["out"]
    assert settled == list[Fulfilled[ThumbData] | Rejected]


@pytest.mark.parametrize(
    ("inner", "message"),
    [
        (Pipeline().step("s", lambda picture: None), "each='image', but its pipeline takes no key of that name"),
        (Pipeline(inputs=Thumb).step("s", lambda thumb: None), "each='image', but its pipeline takes no key of that"),
        (Pipeline(inputs=Path), r"for_each 'thumbs/\*' takes 'image' as str, but 'images' is list\[int\]"),
        (
            Pipeline("x").step("s", lambda image, gone: None),
            r"step 'thumbs/\*/s' needs 'gone', which nothing provides",
        ),
        (
            Pipeline("x").step("n", Pipeline("y").step("s", lambda image, gone: None)),
            r"step 'thumbs/\*/n/s' needs 'gone'",
        ),
        (Pipeline("x").step("s", lambda image, imges: None), r"needs 'imges', .* did you mean 'images'\?"),
    ],
)
def test_what_the_pipeline_of_an_element_needs_is_checked_when_it_is_built(inner, message) -> None:
    p = Pipeline(inputs=Images)
    with pytest.raises(ConfigError, match=message):
        p.for_each("thumbs", inner, over="images", each="image", into="out")


def test_element_that_hides_a_key_is_refused() -> None:
    with pytest.raises(ConfigError, match="each='images' would hide the key 'images'"):
        Pipeline(inputs=Images).for_each(Pipeline().step(lambda images: {}), over="images", each="images", into="out")


@pytest.mark.parametrize(
    "build",
    [
        lambda p: p.step("s", lambda image: None),
        lambda p: p.step("s", lambda image=0: None),
        lambda p: p.step("s", lambda ctx, /: None),
        lambda p: p.step("s", lambda **rest: None),
        lambda p: p.step("s", lambda: None, condition=lambda image: True),
        lambda p: p.step("g", lambda: None, lambda image: None),
        lambda p: p.step("g", lambda: None, Pipeline().step("s", lambda image: None)),
        lambda p: p.step("n", Pipeline().step("s", lambda image: None)),
        lambda p: p.step("f", fork("f", mode="all", paths=[lambda image: 1]), provides="f"),
        lambda p: p.branch_on(when(lambda image: True, lambda p: p)),
        lambda p: p.branch_on(otherwise(lambda p: p.step("s", lambda image: None))),
        lambda p: p.for_each("e", lambda part: part, over="image", each="part", into="parts"),
        lambda p: p.for_each("e", lambda part, image: part, over="parts", each="part", into="out"),
        lambda p: p.for_each("e", Pipeline().step(lambda part, image: {}), over="parts", each="part", into="out"),
    ],
)
def test_pipeline_that_may_take_the_element_is_accepted(build) -> None:
    thumbs(build(Pipeline()))
    thumbs(build(Pipeline().step("any", lambda: {"maybe": "image"})))


@pytest.mark.parametrize(
    "build",
    [
        lambda p: p.step("s", lambda other: None, condition=lambda other: True),
        lambda p: p.step("g", lambda: None, Pipeline().step("s", lambda other: None)),
        lambda p: p.branch_on(when(lambda other: True, lambda p: p)),
        lambda p: p.for_each("e", lambda part: part, over="parts", each="part", into="out"),
        lambda p: p.for_each("e", Pipeline().step(lambda part: {}), over="parts", each="part", into="out"),
    ],
)
def test_pipeline_in_which_nothing_takes_the_element_is_refused(build) -> None:
    for p in (Pipeline(), Pipeline().step("any", lambda: {"maybe": "image"})):
        with pytest.raises(ConfigError, match="each='image', but its pipeline takes no key of that name"):
            thumbs(build(p))


# Hooks, stop, checkpoints


async def test_hooks_hear_of_inner_steps_before_their_element_and_of_that_before_the_whole() -> None:
    told = []
    await thumbs().run({"images": [4, 2]}, on_step_complete=lambda e: told.append((e.name, e.duration)))
    assert told == [
        ("thumbs/2/fetch", 2),
        ("thumbs/2/shrink", 1),
        ("thumbs/2", 3),
        ("thumbs/1/fetch", 4),
        ("thumbs/1/shrink", 1),
        ("thumbs/1", 5),
        ("thumbs", 5),
    ]


async def test_hooks_are_called_in_the_scope_of_the_step_they_are_told_of() -> None:
    told = []
    await thumbs().run({"images": [1]}, on_step_complete=lambda e: told.append((e.name, current_scope().name)))
    assert [name for name, scope in told if name != scope] == []


async def test_error_hook_sees_the_failure_of_an_inner_step_once() -> None:
    told = []
    p = thumbs(Pipeline().step("bad", lambda image: 1 / 0), mode="settle")
    await p.run({"images": [1]}, on_error=lambda name, error: told.append((name, type(error))))
    assert told == [("thumbs/1/bad", ZeroDivisionError)]


@pytest.mark.parametrize("mode", ["all", "settle"])
async def test_stop_inside_lets_others_finish_their_step_and_stores_nothing_incomplete(mode) -> None:
    told = []

    def stop(event):
        told.append(event.name)
        if event.name == "thumbs/2/fetch":
            event.stop()

    p = thumbs(mode=mode).step("after", lambda: {"after": 1})
    assert await p.run({"images": [4, 2]}, on_step_complete=stop) == {"images": [4, 2]}
    assert told == ["thumbs/2/fetch", "thumbs/1/fetch"]
    assert trio.current_time() == 4


@pytest.mark.parametrize("mode", ["all", "settle"])
async def test_resume_goes_on_inside_the_elements_that_were_not_done(mode) -> None:
    p = thumbs(mode=mode).step("after", lambda thumbs: {"n": len(thumbs)})
    events = []
    result = await p.run({"images": [4, 2], "scale": 3}, on_step_complete=events.append)
    left = {}
    for event in events:
        checkpoint = Checkpoint.from_json(event.checkpoint.to_json())
        del ran[:]
        assert await p.resume(checkpoint) == result
        left[event.name] = list(ran)
    assert left == {
        "thumbs/2/fetch": ["thumbs/1/fetch", "thumbs/2/shrink", "thumbs/1/shrink"],
        "thumbs/2/shrink": ["thumbs/1/fetch", "thumbs/1/shrink"],
        "thumbs/2": ["thumbs/1/fetch", "thumbs/1/shrink"],
        "thumbs/1/fetch": ["thumbs/1/shrink"],
        "thumbs/1/shrink": [],
        "thumbs/1": [],
        "thumbs": [],
        "after": [],
    }


async def test_element_that_was_done_holds_only_what_it_changed_in_the_checkpoint() -> None:
    events = []
    await thumbs(concurrency=1).run({"images": [4, 2]}, on_step_complete=events.append)
    [entry] = [entry for entry in events[2].checkpoint.entries if entry.case == "1"]
    assert (entry.step, entry.changes, entry.is_patch) == ("thumbs", {"image": 4, "data": 4, "thumb": 2}, True)


async def test_resume_makes_instances_of_the_elements_that_were_done() -> None:
    p = thumbs(THUMB.outputs(Thumb), concurrency=1)
    events = []
    result = await p.run({"images": [4, 2]}, on_step_complete=events.append)
    assert await p.resume(Checkpoint.from_json(events[2].checkpoint.to_json())) == result


async def test_resume_after_a_transform_inside_an_element_has_what_it_left() -> None:
    p = thumbs(THUMB.transform("only", lambda thumb: {"thumb": thumb}), concurrency=1)
    events = []
    result = await p.run({"images": [4, 2]}, on_step_complete=events.append)
    for event in events:
        assert await p.resume(Checkpoint.from_json(event.checkpoint.to_json())) == result


async def test_overridden_collection_is_gone_through_from_the_start_inside_too() -> None:
    p = Pipeline("root").step("nest", thumbs(concurrency=1))
    events = []
    await p.run({"images": [4, 2]}, on_step_complete=events.append)
    at = {event.name: event.checkpoint for event in events}
    for name in ("nest/thumbs/1/fetch", "nest/thumbs/1", "nest/thumbs/2/fetch"):
        del ran[:]
        result = await p.resume(at[name], overrides={"images": [6, 8]})
        assert [part["thumb"] for part in result["thumbs"]] == [3, 4]
        assert len(ran) == 4
    del ran[:]
    await p.resume(at["nest/thumbs/1"], overrides={"scale": 5})
    assert ran == ["nest/thumbs/2/fetch", "nest/thumbs/2/shrink"]


async def test_collection_that_is_overridden_when_all_of_it_is_done_is_not_gone_through_again() -> None:
    for p in (thumbs(), Pipeline("root").step("nest", thumbs())):
        events = []
        before = await p.run({"images": [4, 2]}, on_step_complete=events.append)
        del ran[:]
        [done] = [event.checkpoint for event in events if event.name.endswith("thumbs")]
        after = await p.resume(done, overrides={"images": [6, 8]})
        assert (after["thumbs"], after["images"], ran) == (before["thumbs"], [6, 8], [])


async def test_element_that_failed_runs_again_when_the_run_goes_on() -> None:
    tried = []

    def shrink(part):
        tried.append(part)
        if tried == [1, 2]:
            raise OSError("once")
        return 10 * part

    p = Pipeline("p").for_each("e", shrink, over="parts", each="part", into="shrunk", concurrency=1)
    store = MemoryStore()
    with pytest.raises(ForkPartialError):
        await p.run({"parts": [1, 2, 3]}, store=store, run_id="r")
    assert (await p.run(store=store, run_id="r"))["shrunk"] == [10, 20, 30]
    assert tried == [1, 2, 2, 3]
