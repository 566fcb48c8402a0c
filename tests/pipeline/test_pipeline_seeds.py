"""The examples of stepkit's pages on context and on parallel steps, in Python, with their results.

Where stepkit's code breaks the promise of its page, the promise holds here.
"""

from __future__ import annotations

import json

import pytest
import trio

from trio_steps import KeyCollisionError, Pipeline, otherwise, when

# Understanding context


async def test_basic_context_flow() -> None:
    p = (
        Pipeline()
        .step("fetch-user", lambda user_id: {"user_name": "John Doe"})
        .step("fetch-settings", lambda user_id, user_name: {"theme": "dark"})
        .step("finalize", lambda user_id, user_name, theme: {"done": True})
    )
    assert await p.run({"user_id": "123"}) == {"user_id": "123", "user_name": "John Doe", "theme": "dark", "done": True}


async def test_context_merging() -> None:
    seen = []
    p = Pipeline().step("step1", lambda a: {"b": 2}).step("step2", lambda a, b: {"c": 3})
    p = p.step("step3", lambda a, b, c: {"d": 4})
    await p.run({"a": 1}, on_step_complete=lambda event: seen.append(dict(event.context)))
    assert seen == [{"a": 1, "b": 2}, {"a": 1, "b": 2, "c": 3}, {"a": 1, "b": 2, "c": 3, "d": 4}]


@pytest.mark.parametrize(("policy", "count"), [("override", 2), ("warn", 2), ("skip", 1)])
async def test_merge_policy(policy, count) -> None:
    p = Pipeline().step("first", lambda: {"count": 1}).step("second", lambda: {"count": 2}, merge_policy=policy)
    assert await p.run({"value": 10}) == {"value": 10, "count": count}


async def test_merge_policy_error() -> None:
    p = Pipeline().step("first", lambda: {"count": 1}).step("second", lambda: {"count": 2}, merge_policy="error")
    with pytest.raises(KeyCollisionError, match=r"^'second' can't merge the key 'count'"):
        await p.run({"value": 10})


async def test_merge_policy_warn_logs(caplog) -> None:
    await (
        Pipeline().step("first", lambda: {"count": 1}).step("second", lambda: {"count": 2}, merge_policy="warn").run({})
    )
    [record] = caplog.records
    assert "'count'" in record.getMessage()


async def test_context_transformation() -> None:
    def parse(raw_data):
        return {"parsed": json.loads(raw_data), "metadata": "extra"}

    p = (
        Pipeline()
        .step("parse", parse)
        .transform("reshape", lambda parsed: {"id_": parsed["id"], "name": parsed["name"]})
        .step("process", lambda id_, name: {"processed": True})
    )
    assert await p.run({"raw_data": '{"id": 1, "name": "x"}'}) == {"id_": 1, "name": "x", "processed": True}


async def test_when_context_is_replaced() -> None:
    p = (
        Pipeline()
        .step("step1", lambda: {"b": 2, "c": 3})
        .transform("reshape", lambda b: {"b": b * 2})
        .step("step2", lambda b: {"d": 5})
    )
    assert await p.run({"a": 1}) == {"b": 4, "d": 5}


@pytest.mark.parametrize("is_premium", [True, False])
async def test_conditional_context(is_premium) -> None:
    p = (
        Pipeline()
        .step("init", lambda: {"base": "data"})
        .step("premium-step", lambda: {"premium": "feature"}, condition=lambda is_premium: is_premium)
        .step("final", lambda premium=None: {"has_premium": bool(premium)})
    )
    assert (await p.run({"is_premium": is_premium}))["has_premium"] is is_premium


async def test_error_handling_and_context() -> None:
    def risky(should_fail):
        if should_fail:
            raise RuntimeError("Failed")
        return {"result": "success"}

    p = (
        Pipeline()
        .step("step1", lambda: {"value": 1})
        .step("risky-step", risky, on_error="continue")
        .step("step3", lambda result="no result": {"final": result})
    )
    assert await p.run({"should_fail": True}) == {"should_fail": True, "value": 1, "final": "no result"}


async def test_context_in_parallel_steps() -> None:
    p = Pipeline().step(
        "fetch-all",
        lambda user_id: {"user_name": "John"},
        lambda user_id: {"email": "j@example.org"},
        lambda user_id: {"avatar": "url"},
    )
    result = await p.run({"user_id": "123"})
    assert result == {"user_id": "123", "user_name": "John", "email": "j@example.org", "avatar": "url"}


async def test_parallel_merge_conflicts() -> None:
    p = Pipeline().step("parallel", lambda: {"count": 1}, lambda: {"count": 2}, lambda: {"count": 3})
    assert await p.run({"id": "123"}) == {"id": "123", "count": 3}


async def test_branch_context_flow() -> None:
    p = (
        Pipeline()
        .step("fetch-data", lambda user_id: {"plan": "premium", "credits": 150})
        .branch_on(
            when(
                lambda plan: plan == "premium",
                lambda p: p.step("premium-user", lambda user_id: {"user_name": "Jane"}).step(
                    "premium-features", lambda: {"features": ["a", "b"]}
                ),
            ),
            otherwise(lambda p: p.step("basic-user", lambda user_id: {"user_name": "John"})),
        )
        .step("after-branch", lambda user_name, features=(): {"processed": True})
    )
    assert await p.run({"user_id": "123"}) == {
        "user_id": "123",
        "plan": "premium",
        "credits": 150,
        "user_name": "Jane",
        "features": ["a", "b"],
        "processed": True,
    }


async def test_nested_pipeline_context() -> None:
    sub = Pipeline("sub").step("fetch", lambda user_id: {"name": "John"}).step("fetch-email", lambda: {"email": "j@x"})
    p = (
        Pipeline()
        .step("init", lambda: {"timestamp": 1234567890})
        .step("fetch-user", sub)
        .step("finalize", lambda name, email, timestamp: {"done": True})
    )
    assert await p.run({"user_id": "123"}) == {
        "user_id": "123",
        "timestamp": 1234567890,
        "name": "John",
        "email": "j@x",
        "done": True,
    }


async def test_deep_cloning() -> None:
    seen = []

    def mutate(data):
        data["count"] = 999
        return {"modified": True}

    p = Pipeline().step("mutate-attempt", mutate).step("check", lambda data: seen.append(data["count"]))
    assert await p.run({"data": {"count": 1}}) == {"data": {"count": 1}, "modified": True}
    assert seen == [1]


async def test_good_practice_returns_what_changed() -> None:
    p = Pipeline().step("increment", lambda data: {"data": {**data, "count": data["count"] + 1}})
    assert await p.run({"data": {"count": 1, "x": 0}}) == {"data": {"count": 2, "x": 0}}


# Parallel execution


def fetches(seconds, **keys):
    async def fetch():
        await trio.sleep(seconds)
        return keys

    return fetch


async def fails():
    await trio.sleep(1)
    raise ConnectionError


async def test_basic_parallel_execution() -> None:
    p = Pipeline().step("gather-market-signals", fetches(2, market_size=1), fetches(3, competitors=["x"]))
    result = await p.run({"idea": "AI-powered plant waterer"})
    assert result == {"idea": "AI-powered plant waterer", "market_size": 1, "competitors": ["x"]}
    assert trio.current_time() == 3


async def test_mode_all_fails_with_one_function() -> None:
    with pytest.raises(BaseException, match="1 of 2 paths failed"):
        await Pipeline().step("fetch-data", fails, fetches(9, posts=1), mode="all").run({})
    assert trio.current_time() == 1


async def test_mode_settled_merges_what_succeeded() -> None:
    p = (
        Pipeline()
        .step("gather-signals", fetches(1, market_size=1), fails, fetches(2, trends=[1]), mode="settle")
        .step(
            "evaluate", lambda market_size=0, trends=(), competitors=(): {"score": (market_size, trends, competitors)}
        )
    )
    assert (await p.run({"idea": "x"}))["score"] == (1, [1], ())


async def test_parallel_collision_is_an_error_when_asked() -> None:
    p = Pipeline().step("fetch", lambda: {"data": 1}, lambda: {"data": 2}, merge_policy="error")
    with pytest.raises(KeyCollisionError) as caught:
        await p.run({})
    assert (caught.value.key, caught.value.step, caught.value.sources) == ("data", "fetch", ("fetch/1", "fetch/2"))


async def test_mixed_parallel_and_sequential_execution() -> None:
    p = (
        Pipeline()
        .step("fetch-user", lambda user_id: {"user": {"id": user_id}})
        .step("fetch-data", lambda user: {"orders": [user["id"]]}, lambda user: {"alerts": []})
        .step("process", lambda orders, alerts: {"order_count": len(orders), "alert_count": len(alerts)})
    )
    result = await p.run({"user_id": "1"})
    assert (result["order_count"], result["alert_count"]) == (1, 0)


async def test_parallel_execution_with_sub_pipelines() -> None:
    names = []
    orders = Pipeline("fetch-orders").step("get-orders", lambda user_id: {"orders": [1]})
    orders = orders.step("enrich", lambda orders: {"orders": [*orders, "rich"]})
    alerts = Pipeline("fetch-alerts").step("get-alerts", lambda user_id: {"alerts": [2]})
    main = Pipeline("main").step("fetch-user", lambda user_id: {"user": 1}).step("load-data", orders, alerts)
    result = await main.run({"user_id": "123"}, on_step_complete=lambda event: names.append(event.name))
    assert result == {"user_id": "123", "user": 1, "orders": [1, "rich"], "alerts": [2]}
    assert "load-data/fetch-orders/enrich" in names


async def test_parallel_outputs_are_available_to_the_next_step() -> None:
    p = (
        Pipeline()
        .step("fetch", lambda id_: {"name": "John"}, lambda id_: {"age": 30})
        .step("use", lambda name, age: {"greeting": f"{name} is {age} years old"})
    )
    assert (await p.run({"id_": "x"}))["greeting"] == "John is 30 years old"
