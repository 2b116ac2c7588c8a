"""A conversation is known again as it grows, and goes where its prompt is warm."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from random import Random

import pytest

from gateway.core.routing.affinity import Affinity, Place, conversation_keys
from gateway.core.routing.pool import Pick, Pool
from gateway.core.routing.seats import Member

SEED = ("key", "model")


def turn(who: str, text: object) -> dict[str, object]:
    return {"role": who, "content": text}


def body(messages: object, **more: object) -> bytes:
    return json.dumps({"model": "m", **more, "messages": messages}).encode()


TALK = [turn("system", "be kind"), turn("user", "hi"), turn("assistant", "ho"), turn("user", "so")]


def test_a_longer_conversation_begins_like_the_shorter_one():
    keys = conversation_keys(body(TALK), SEED)
    assert len(set(keys)) == 4
    assert conversation_keys(body(TALK[:2]), SEED) == keys[:2]
    assert conversation_keys(body(TALK, temperature=1, max_tokens=5), SEED) == keys


@pytest.mark.parametrize("other", [
    body(TALK, tools=[{"type": "function"}]),
    body(TALK, system="x"),
    body([turn("system", "be kin"), *TALK[1:]]),
])  # fmt: skip
def test_another_beginning_is_another_conversation(other: bytes):
    keys = conversation_keys(body(TALK), SEED)
    assert not set(keys) & set(conversation_keys(other, SEED))
    assert not set(keys) & set(conversation_keys(body(TALK), ("other key", "model")))


def test_marks_of_the_cache_are_no_part_of_the_conversation():
    def marked(text: str) -> list[dict[str, object]]:
        return [{"type": "text", "text": text, "cache_control": {"type": "ephemeral"}}]

    def plain(text: str) -> list[dict[str, object]]:
        return [{"type": "text", "text": text}]

    first = conversation_keys(body([turn("user", plain("a")), turn("user", marked("b"))]), SEED)
    later = [turn("user", plain("a")), turn("user", plain("b")), turn("user", marked("c"))]
    assert conversation_keys(body(later), SEED)[:2] == first


def test_a_name_is_all_that_is_looked_at():
    def key(session: str | None = None, **more: object) -> tuple[int, ...]:
        return conversation_keys(body(TALK, **more), SEED, session)

    names = [key("s"), key(prompt_cache_key="s"), key(prompt_cache_key="t", user="s"), key("t")]
    assert [len(name) for name in names] == [1, 1, 1, 1]
    assert len(set(names)) == 4
    assert key("s", user="x") == key("s", prompt_cache_key="y")
    assert key(prompt_cache_key="y", user="x") == key(prompt_cache_key="y")
    assert key(user="s") == key(prompt_cache_key="s")
    assert len(key(user="", prompt_cache_key=None)) == 4
    assert conversation_keys(body([], user="s"), SEED) == key(user="s")


@pytest.mark.parametrize("raw", [
    b"", b"[", b"[]", b"3", b"{}", b'{"messages":[]}', b'{"messages":', b"\xff\xfe",
    b'{"input":[]}',
])  # fmt: skip
def test_what_is_no_conversation_has_no_keys(raw: bytes):
    assert conversation_keys(raw, SEED) == ()


def test_texts_and_odd_shapes_are_taken_as_they_are():
    assert len(conversation_keys(b'{"input":"tell me"}', SEED)) == 1
    assert len(conversation_keys(b'{"input":[1,{"a":2}]}', SEED)) == 2
    assert len(conversation_keys(b'{"messages":7}', SEED)) == 1
    assert len(conversation_keys(body([turn("user", "x")] * 500), SEED)) == 64


def test_long_messages_differ_by_their_ends_and_length():
    big = "x" * 300_000
    keys = {
        conversation_keys(body([turn("user", text)]), SEED)
        for text in (big, big + "x", "y" + big[1:], big[:-1] + "y")
    }
    assert len(keys) == 4


def test_the_longest_known_beginning_decides():
    affinity = Affinity()
    a, b = Place("r", "a"), Place("r", "b")
    affinity.keep(0.0, (1, 2), a)
    affinity.keep(0.0, (1, 2, 3, 4), b)
    assert affinity.find(1.0, (1, 2, 3, 4, 5)) is b
    assert affinity.find(1.0, (1, 2, 3)) is a
    assert affinity.find(1.0, (1,)) is None
    assert affinity.find(1.0, ()) is None
    affinity.keep(2.0, (1, 2, 3, 4), a)
    assert affinity.find(3.0, (1, 2, 3, 4)) is a


def test_what_is_cold_is_forgotten_and_use_keeps_it_warm():
    affinity = Affinity(ttl=300.0)
    place = Place("r", "a")
    affinity.keep(0.0, (1,), place)
    affinity.keep(0.0, (2,), place)
    affinity.keep(200.0, (1,), place)
    assert affinity.find(299.0, (2,)) is place
    assert affinity.find(300.0, (2,)) is None
    assert affinity.find(499.0, (1,)) is place
    affinity.keep(600.0, (3,), place)
    assert len(affinity) == 1
    assert Affinity(ttl=1.0).ttl == 300.0
    assert Affinity(ttl=1e9).ttl == 3600.0


def test_it_never_grows_beyond_its_bound():
    affinity = Affinity(most=100)
    for key in range(1000):
        affinity.keep(0.0, (key,), Place("r", "a"))
        assert len(affinity) <= 100
    assert affinity.find(1.0, (999,)) is not None
    assert affinity.find(1.0, (899,)) is None
    affinity.keep(1.0, (900,), Place("r", "a"))
    affinity.keep(1.0, (1000,), Place("r", "a"))
    assert affinity.find(1.0, (900,)) is not None
    assert affinity.find(1.0, (901,)) is None


class Talks:
    """Conversations that grow turn by turn against credentials with caches of beginnings."""

    def __init__(self, seed: int, questions: int = 20, count: int = 8) -> None:
        self.questions = questions
        self.served: Counter[str] = Counter()
        self.random = Random(seed)
        members = tuple(Member(f"c{n}", concurrency=12) for n in range(count))
        self.pool = Pool(members, self.random.random)
        self.running: list[Pick] = []
        self.affinity = Affinity()
        self.caches: dict[str, set[int]] = defaultdict(set)
        self.talks: list[list[dict[str, object]]] = []
        self.now = 0.0
        self.down = ""
        self.hits = self.turns = self.most_tries = 0

    def new(self) -> None:
        first = f"question {self.random.randrange(self.questions)}"
        self.talks.append([turn("system", "the same for all"), turn("user", first)])

    def step(self) -> None:
        self.now += 0.05
        if len(self.talks) < 100 or self.random.random() < 0.05:
            self.new()
        talk = self.random.choice(self.talks[-100:])
        keys = conversation_keys(body(talk), SEED)
        name = self.serve(keys)
        if len(talk) > 2:
            self.turns += 1
            self.hits += keys[-3] in self.caches[name]
        self.caches[name].update(keys)
        self.served[name] += 1
        talk += [turn("assistant", f"{self.random.random()}"), turn("user", "and then?")]

    def serve(self, keys: tuple[int, ...]) -> str:
        known = self.affinity.find(self.now, keys)
        tried: list[str] = []
        while True:
            pick = self.pool.pick(
                self.now, upstream="m", sticky=known.credential if known else None, exclude=tried
            )
            assert isinstance(pick, Pick)
            assert self.pool.began(pick, self.now)
            tried.append(pick.name)
            good = pick.name != self.down
            if good:
                self.pool.answered(pick, self.now, 0.3 + 0.2 * self.random.random())
                self.running.append(pick)
                break
            self.pool.ended(pick, self.now, "failed")
        if len(self.running) > 40:
            self.pool.ended(self.running.pop(self.random.randrange(40)), self.now, "ok")
        self.most_tries = max(self.most_tries, len(tried))
        self.affinity.keep(self.now, keys, Place("m", pick.name))
        return pick.name


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("questions", [20, 10**9])
def test_nearly_every_turn_finds_its_prompt_warm(seed: int, questions: int):
    talks = Talks(seed, questions)
    for _ in range(3000):
        talks.step()
    assert talks.hits >= 0.95 * talks.turns
    assert talks.turns > 2000
    if questions > 1000:  # those that begin alike are kept together, the others are spread
        assert len(talks.served) == 8
        assert max(talks.served.values()) < 2.5 * 3000 / 8


@pytest.mark.parametrize("seed", range(5))
def test_one_more_try_when_the_warm_one_dies(seed: int):
    talks = Talks(seed)
    for _ in range(1000):
        talks.step()
    talks.down = "c3"
    talks.hits = talks.turns = 0
    for _ in range(2000):
        talks.step()
    assert talks.most_tries == 2
    assert talks.hits >= 0.93 * talks.turns  # each conversation of the dead one misses once
