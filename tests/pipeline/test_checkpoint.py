"""Checkpoints: their text, their codec, and which pipeline may be resumed from them."""

from __future__ import annotations

import copy
import json
import pickle
import re
from datetime import date
from types import SimpleNamespace

import attrs
import pytest

from trio_steps._core.errors import CheckpointError
from trio_steps._pipeline.run.checkpoint import Checkpoint
from trio_steps._pipeline.run.journal import Entry


class PaymentError(Exception):
    def __init__(self, code, *, retry):
        super().__init__(f"payment failed: {code}")
        self.code = code
        self.retry = retry


@attrs.frozen
class Plain:
    x: int


def local_error():
    class LocalError(Exception):
        pass

    return LocalError()


def journal():
    return [
        Entry(kind="inputs", changes={"user_id": "42", "when": date(2026, 1, 1)}),
        Entry(kind="done", step="fetch", changes={"user": {"id": (1, 2)}}),
        Entry(kind="taken", step="route", case="premium"),
        Entry(kind="done", step="route/premium/a", changes={"a": {1, 2}}, sources={"a": "x/y"}, is_patch=True),
        Entry(kind="rejected", step="load/b", error=PaymentError(3, retry=False)),
        Entry(kind="skipped", step="nudge"),
        Entry(kind="transform", step="finalize", changes={"done": True}),
    ]


STEPS = ("fetch", "route", "route/premium/a", "load", "load/a", "load/b", "nudge", "finalize", "last")


def shown(entry):
    error = entry.error and (type(entry.error), vars(entry.error), entry.error.args)
    rest = entry.step, entry.changes, entry.sources, entry.is_patch, entry.case, error
    return entry.kind, *rest


def checkpoint(length=7, codec=None):
    return Checkpoint("signup", STEPS, journal(), length, codec)


def test_checkpoint_comes_back() -> None:
    twin = Checkpoint.from_json(checkpoint().to_json())
    assert (twin.pipeline, twin.steps, twin.codec) == ("signup", STEPS, None)
    assert list(map(shown, twin.entries)) == list(map(shown, journal()))
    assert all(type(entry) is Entry for entry in twin.entries)
    assert twin.to_json() == checkpoint().to_json()


def test_checkpoint_text_is_ascii_json_that_shows_what_it_holds() -> None:
    entry = Entry(kind="done", step="é", changes={"ü": "日本"})
    text = Checkpoint("pïpe", ("é",), [entry], 1).to_json()
    assert text.isascii()
    body = json.loads(text)
    assert (body["format"], body["pipeline"], body["steps"]) == (1, "pïpe", ["é"])
    assert body["journal"] == [{"kind": "done", "step": "é", "changes": {"ü": "日本"}}]


def test_checkpoint_shows_its_moment_even_if_the_journal_has_grown() -> None:
    entries = journal()[:2]
    early = Checkpoint("signup", STEPS, entries, len(entries))
    entries.append(Entry(kind="done", step="later", changes={"unheld": object()}))
    assert [entry.step for entry in early.entries] == ["", "fetch"]
    assert [entry.step for entry in Checkpoint.from_json(early.to_json()).entries] == ["", "fetch"]


class NotToBeRead(list):
    def __getitem__(self, index):
        raise AssertionError("the journal was read")

    __iter__ = None


def test_checkpoint_costs_nothing_until_it_is_used() -> None:
    assert Checkpoint("p", (), NotToBeRead(), 0).pipeline == "p"


def test_checkpoint_can_not_be_changed() -> None:
    one = checkpoint()
    for name in ("pipeline", "steps", "codec", "entries", "new"):
        with pytest.raises(AttributeError):
            setattr(one, name, None)
    with pytest.raises(AttributeError):
        one.entries[0].step = "x"


def test_checkpoint_repr_says_where_it_stands() -> None:
    assert repr(checkpoint(2)) == "<Checkpoint of 'signup' after 'fetch'>"
    assert repr(checkpoint(1)) == "<Checkpoint of 'signup' after 'the inputs'>"


def test_checkpoint_of_a_value_that_can_not_be_held_names_step_and_key() -> None:
    bad = Checkpoint("p", (), [Entry(kind="done", step="a/b", changes={"ok": 1, "conn": object()})], 1)
    with pytest.raises(CheckpointError, match=r"^step 'a/b', key 'conn': <object .*can't be held") as caught:
        bad.to_json()
    assert (caught.value.step, caught.value.key) == ("a/b", "conn")


def test_checkpoint_of_an_error_that_can_not_be_held_names_the_step() -> None:
    bad = Checkpoint("p", (), [Entry(kind="rejected", step="a/b", error=local_error())], 1)
    with pytest.raises(CheckpointError, match=r"^step 'a/b': the class ") as caught:
        bad.to_json()
    assert (caught.value.step, caught.value.key) == ("a/b", None)


@pytest.mark.parametrize(
    "bad",
    [
        Checkpoint("\ud800", (), [], 0),
        Checkpoint("p", ("\ud800",), [], 0),
        Checkpoint("p", (), [Entry(kind="done", step="\ud800")], 1),
        Checkpoint("p", (), [Entry(kind="done", changes={"\ud800": 1})], 1),
        Checkpoint("p", (), [Entry(kind="done", sources={"a": "\ud800"})], 1),
        Checkpoint("p", (), [Entry(kind="taken", case="\ud800")], 1),
    ],
)
def test_checkpoint_refuses_names_that_would_come_back_as_others(bad) -> None:
    with pytest.raises(CheckpointError, match="contains a lone surrogate"):
        bad.to_json()


def test_checkpoint_refuses_text_that_is_cut_short_anywhere() -> None:
    text = checkpoint(3).to_json()
    for length in range(len(text)):
        with pytest.raises(CheckpointError):
            Checkpoint.from_json(text[:length])


def test_checkpoint_refuses_text_with_any_character_changed() -> None:
    text = checkpoint(2).to_json()
    for index, old in enumerate(text):
        for new in {"0", "1", "x", '"', "]"} - {old}:
            with pytest.raises(CheckpointError):
                Checkpoint.from_json(text[:index] + new + text[index + 1 :])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the text is damaged, or not a checkpoint"),
        ("nonsense", "the text is damaged, or not a checkpoint: Expecting value: line 1 column 1 (char 0)"),
        ("[" * 100_000, "the text is damaged, or not a checkpoint"),
        (None, "the text is damaged, or not a checkpoint"),
        ("[]", "the text is not a checkpoint"),
        ("{}", "the text is not a checkpoint"),
        ('{"format": "1"}', "the text is not a checkpoint"),
        ('{"format": 2}', "the checkpoint has the format 2; this version reads 1"),
        ('{"format": 1}', "the text is damaged: its checksum is wrong"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_checkpoint_says_what_is_wrong_with_the_text(text, words) -> None:
    with pytest.raises(CheckpointError) as caught:
        Checkpoint.from_json(text)
    assert str(caught.value).startswith(words)


def forged(**changes):
    """Return a changed text with a valid checksum."""
    import zlib

    body = json.loads(checkpoint().to_json())
    del body["checksum"]
    body.update(changes)
    return json.dumps({**body, "checksum": zlib.crc32(json.dumps(body).encode())})


def test_forged_text_is_read_if_it_makes_sense() -> None:
    assert Checkpoint.from_json(forged(pipeline="other")).pipeline == "other"


@pytest.mark.parametrize(
    "changes",
    [
        {"pipeline": 1},
        {"steps": None},
        {"codec": "no"},
        {"journal": {}},
        {"journal": [1]},
        {"journal": [{}]},
        {"journal": [{"kind": "nonsense", "step": "a", "changes": {}}]},
        {"journal": [{"kind": "done", "step": "a", "changes": []}]},
        {"journal": [{"kind": "done", "step": "a", "changes": {"k": {"$": "nonsense"}}}]},
        {"journal": [{"kind": "done", "step": "a", "changes": {}, "sources": 1}]},
    ],
    ids=repr,
)
def test_forged_text_that_makes_no_sense_is_an_error(changes) -> None:
    with pytest.raises(CheckpointError, match="damaged"):
        Checkpoint.from_json(forged(**changes))


def test_damaged_value_is_an_error_that_names_step_and_key() -> None:
    entry = {"kind": "done", "step": "a/b", "changes": {"k": {"$": "error", "is": ["gone.module:Error", 0, False]}}}
    with pytest.raises(CheckpointError, match=r"^step 'a/b', key 'k': the class 'gone.module:Error' can't be found"):
        Checkpoint.from_json(forged(journal=[entry]))


# A user's own codec


class Pickled:
    """Holds anything, but only for text that is trusted."""

    def dumps(self, value, /):
        return pickle.dumps(value).hex()

    def loads(self, text, /):
        return pickle.loads(bytes.fromhex(text))


def test_codec_replaces_the_encoding_of_values() -> None:
    entries = [
        Entry(kind="inputs", changes={"point": Plain(1)}),
        Entry(kind="rejected", step="a", error=ValueError("x")),
    ]
    codec = Pickled()
    text = Checkpoint("p", ("a",), entries, 2, codec).to_json()
    twin = Checkpoint.from_json(text, codec=codec)
    assert twin.codec is codec
    assert twin.entries[0].changes == {"point": Plain(1)}
    assert repr(twin.entries[1].error) == "ValueError('x')"
    assert twin.to_json() == text


def test_json_module_is_a_codec() -> None:
    one = Checkpoint("p", (), [Entry(kind="inputs", changes={"a": [1]})], 1, json)
    assert Checkpoint.from_json(one.to_json(), codec=json).entries[0].changes == {"a": [1]}


def test_codec_that_fails_to_write_is_an_error_that_names_step_and_key() -> None:
    one = Checkpoint("p", (), [Entry(kind="done", step="s", changes={"k": {1}})], 1, json)
    with pytest.raises(CheckpointError, match=r"^step 's', key 'k': the codec can't write \{1\}") as caught:
        one.to_json()
    assert isinstance(caught.value.__cause__, TypeError)


@pytest.mark.parametrize("written", [b"x", None, "\ud800"], ids=repr)
def test_codec_that_writes_no_text_is_an_error(written) -> None:
    codec = SimpleNamespace(dumps=lambda value: written, loads=lambda text: text)
    one = Checkpoint("p", (), [Entry(kind="done", step="s", changes={"k": 1})], 1, codec)
    with pytest.raises(CheckpointError, match=r"^step 's', key 'k': the codec has to write text, not"):
        one.to_json()


def test_codec_that_fails_to_read_is_an_error_that_names_step_and_key() -> None:
    text = Checkpoint("p", (), [Entry(kind="done", step="s", changes={"k": 1})], 1, json).to_json()
    with pytest.raises(CheckpointError, match=r"^step 's', key 'k': the codec can't read it") as caught:
        Checkpoint.from_json(text, codec=Pickled())
    assert isinstance(caught.value.__cause__, ValueError)


def test_codec_that_is_missing_or_too_much_is_an_error() -> None:
    with pytest.raises(CheckpointError, match=r"was written with a codec: pass codec=…"):
        Checkpoint.from_json(checkpoint(0, json).to_json())
    with pytest.raises(CheckpointError, match=r"was written without a codec: leave out codec=…"):
        Checkpoint.from_json(checkpoint().to_json(), codec=json)


# Which pipeline may resume


@pytest.mark.parametrize(
    "steps",
    [
        STEPS,
        STEPS[:-1],
        (*STEPS, "more"),
        (*STEPS[:-1], "between", "last"),
    ],
    ids=["same", "last removed", "more at the end", "inserted after"],
)
def test_check_accepts_what_changed_only_after_the_checkpoint(steps) -> None:
    checkpoint().check("signup", steps)


def test_check_of_a_checkpoint_at_the_start_accepts_any_steps() -> None:
    checkpoint(1).check("signup", ("something", "else"))


@pytest.mark.parametrize(
    ("pipeline", "steps", "step", "words"),
    [
        ("login", STEPS, None, "the checkpoint is of the pipeline 'signup', not of 'login'"),
        ("signup", ("get", *STEPS[1:]), "fetch", "was it renamed or removed?"),
        ("signup", STEPS[1:], "fetch", "was it renamed or removed?"),
        ("signup", STEPS[:3], "load", "was it renamed or removed?"),
        ("signup", ("new", *STEPS), "new", "the step was inserted before 'fetch', which the checkpoint is past"),
        ("signup", ("route", "fetch", *STEPS[2:]), "route", "the step was moved before 'fetch'"),
        ("signup", (*STEPS[:4], "load/0", *STEPS[4:]), "load/0", "the step was inserted before 'load/a'"),
    ],
)
def test_check_says_which_step_has_changed(pipeline, steps, step, words) -> None:
    with pytest.raises(CheckpointError, match=re.escape(words)) as caught:
        checkpoint().check(pipeline, steps)
    assert caught.value.step == step


@pytest.mark.parametrize(
    ("step", "fits"),
    [
        ("each/1/fetch", True),
        ("each/27/sub/again/3/last", True),
        ("each/*/fetch", True),
        ("group/*/fetch", False),
        ("each/1/gone", False),
        ("each/1", False),
        ("other/1/fetch", False),
    ],
)
def test_check_takes_the_steps_of_each_element_for_those_of_any(step, fits) -> None:
    steps = ("each", "each/*/fetch", "each/*/sub", "each/*/sub/again", "each/*/sub/again/*/last", "group/1/fetch")
    at = Checkpoint("p", steps, [Entry(kind="inputs"), Entry(kind="done", step=step)], 2)
    if fits:
        at.check("p", steps)
        with pytest.raises(CheckpointError, match="the step was inserted before 'each"):
            at.check("p", (steps[0], "each/*/new", *steps[1:]))
    else:
        with pytest.raises(CheckpointError, match="a step that its pipeline did not have"):
            at.check("p", steps)


def test_check_refuses_a_checkpoint_that_does_not_fit_itself() -> None:
    odd = Checkpoint("p", ("a",), [Entry(kind="done", step="b")], 1)
    with pytest.raises(
        CheckpointError, match=r"^step 'b': the checkpoint contains a step that its pipeline did not have"
    ):
        odd.check("p", ("a",))


# Its error


def test_checkpoint_error_is_a_value_error_that_says_where() -> None:
    assert issubclass(CheckpointError, ValueError)
    assert str(CheckpointError("no")) == "no"
    assert str(CheckpointError("no", "s")) == "step 's': no"
    assert str(CheckpointError("no", "s", "k")) == "step 's', key 'k': no"


def test_checkpoint_error_survives_copy_deepcopy_and_pickle() -> None:
    error = CheckpointError("no", "s", "k")
    for twin in (copy.copy(error), copy.deepcopy(error), pickle.loads(pickle.dumps(error))):
        assert (str(twin), vars(twin)) == (str(error), vars(error))


def test_checkpoint_is_equal_to_itself_only() -> None:
    checkpoint = Checkpoint("p", (), (), 0)
    assert checkpoint != Checkpoint("p", (), (), 0)
    assert {checkpoint: 1}[checkpoint] == 1
