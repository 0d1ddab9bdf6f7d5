"""A power cut leaves what a naive model allows, after any sequence of writes, syncs, deletions and crashes.

The model keeps every operation for ever and makes durable content by doing the certain ones again from the
beginning; the medium keeps the newest content and undoes. They share only the order in which chance is asked.
"""

import random

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from treadle.sim.disk.medium import FATES, GARBLED, KEPT, SECTOR_SIZE_BYTES, TORN, Medium, StoredFile, rubbish

NAMES = ("/a", "/b", "/x/c")
SIZES = (0, 1, 7, 100, 511, 512, 513, 700, 1_024, 1_600)
"""Few, so that what is written meets what was written before."""
names = st.sampled_from(NAMES)
sizes = st.sampled_from(SIZES)
STEPS = st.one_of(
    st.tuples(st.just("write"), names, sizes, sizes, st.integers(1, 255)),
    st.tuples(st.just("write"), names, sizes, sizes, st.integers(1, 255)),
    st.tuples(st.just("truncate"), names, sizes),
    st.tuples(st.just("sync"), names, st.booleans()),
    st.tuples(st.just("fail"), names),
    st.tuples(st.just("delete"), names),
    st.tuples(st.just("sync_directory"), names),
    st.tuples(st.just("crash")),
)
# From a small range: of a large one hypothesis prefers the small numbers, and nothing is ever kept.
DRAWS = st.lists(st.integers(0, 999).map(lambda number: number / 1_000), min_size=1, max_size=40)


class Repeating:
    """Chance from a list, over and over."""

    def __init__(self, values):
        self.values, self.place = values, 0

    def __call__(self):
        self.place += 1
        return self.values[(self.place - 1) % len(self.values)]


class NaiveFile:
    """Everything that was ever done to a file: (certain, offset, data or None)."""

    def __init__(self):
        self.done = []

    def mark(self, old, new):
        self.done = [(new if state == old else state, *rest) for state, *rest in self.done]

    def content(self, keep):
        image = bytearray()
        for state, offset, data in self.done:
            if keep(state):
                apply(image, offset, data)
        return bytes(image)

    def after_cut(self, draw, whole_sectors):
        image = bytearray()
        for state, offset, data in self.done:
            if state == "certain":
                apply(image, offset, data)
            elif data is None:
                if draw() >= 0.5:
                    apply(image, offset, data if len(image) > offset else b"")
            else:
                self._cut(image, offset, data, draw, whole_sectors)
        return bytes(image)

    @staticmethod
    def _cut(image, offset, data, draw, whole_sectors):
        # Byte by byte: where a new sector begins, its fate is drawn.
        pieces = {}
        for place in range(offset, offset + len(data)):
            pieces.setdefault(place // SECTOR_SIZE_BYTES, []).append(place)
        for sector, places in pieces.items():
            fate = FATES[int(draw() * 20)]
            piece = bytes(data[place - offset] for place in places)
            if fate == KEPT:
                apply(image, places[0], piece)
            elif fate == TORN:
                apply(image, places[0], piece[: 1 + int(draw() * len(piece))])
            elif fate == GARBLED and whole_sectors:
                first, last = sector * SECTOR_SIZE_BYTES, (sector + 1) * SECTOR_SIZE_BYTES
                last = max(min(last, len(image)), places[-1] + 1)
                apply(image, first, rubbish(draw, last - first))
            elif fate == GARBLED:
                apply(image, places[0], rubbish(draw, len(piece)))


def apply(image, offset, data):
    if data is None:
        del image[offset:]
    elif data:
        image.extend(bytes(max(0, offset + len(data) - len(image))))
        image[offset : offset + len(data)] = data


class NaiveDisk:
    """Names and what they have led to; the first of each list is durable, the last is seen."""

    def __init__(self):
        self.names = {}

    def now(self, name):
        return self.names.get(name, [None])[-1]

    def lead(self, name, to):
        self.names.setdefault(name, [None]).append(to)
        return to

    def seen(self):
        found = {name: self.now(name) for name in self.names}
        return {name: one.content(lambda _: True) for name, one in found.items() if one}

    def durable(self):
        found = {name: past[0] for name, past in self.names.items()}
        return {name: one.content(lambda state: state == "certain") for name, one in found.items() if one}

    def after_cut(self, draw, whole_sectors):
        left = {}
        for name in sorted(self.names):
            past = self.names[name]
            if past == [None]:
                continue
            one = past[int(draw() * len(past))] if len(past) > 1 else past[0]
            if one:
                left[name] = one.after_cut(draw, whole_sectors)
        return left


def live(steps):
    """Do the same to both."""
    medium, naive = Medium(), NaiveDisk()
    for kind, *rest in steps:
        if kind == "crash":
            medium = medium.copy()
            continue
        name, *about = rest
        if kind == "sync_directory":
            medium.sync_directory(name)
            sync_directory(naive, name)
            continue
        if kind == "delete":
            if name in medium.files:
                medium.delete(name)
                naive.lead(name, None)
            continue
        stored = medium.files.get(name) or medium.make(name)
        twin = naive.now(name) or naive.lead(name, NaiveFile())
        STEP[kind](medium, naive, name, stored, twin, *about)
    return medium, naive


def write(_medium, _naive, _name, stored, twin, offset, size, value):
    data = bytes([value]) * size
    # A hole is part of the write: a write of nothing behind the end would be none.
    if size:
        stored.write(data, offset)
        twin.done.append(("open", offset, data))


def truncate(_medium, _naive, _name, stored, twin, size):
    length = len(stored.content)
    stored.truncate(size)
    if size > length:
        twin.done.append(("open", length, bytes(size - length)))
    else:
        twin.done.append(("open", size, None))


def sync(medium, naive, name, stored, twin, is_log):
    new = len(naive.names[name]) > 1
    medium.sync_file(name, stored, is_log=is_log)
    twin.mark("open", "certain")
    naive.names[name] = [twin]
    if new and is_log:
        sync_directory(naive, name)


def fail(_medium, _naive, _name, stored, twin):
    stored.fail_to_sync()
    twin.mark("open", "doubtful")


def sync_directory(naive, name):
    for other, past in naive.names.items():
        if other.rpartition("/")[0] == name.rpartition("/")[0]:
            naive.names[other] = past[-1:]


STEP = {"write": write, "truncate": truncate, "sync": sync, "fail": fail}


def steps_of(seed):
    """Make a long life, which hypothesis rarely does."""
    steps = []
    for _ in range(30):
        name, size, other = seed.choice("aaab"), seed.choice(SIZES), seed.choice(SIZES)
        kinds = {
            "write": (size, other, seed.randrange(1, 256)),
            "truncate": (size,),
            "sync": (seed.random() < 0.5,),
            "fail": (),
            "delete": (),
            "sync_directory": (),
        }
        kind = seed.choices(tuple(kinds), (12, 2, 3, 1, 1, 1))[0]
        steps.append((kind, f"/{name}", *kinds[kind]))
    return steps


@pytest.mark.parametrize("number", range(8))
def test_a_cut_leaves_what_the_model_says_of_a_long_life(number):
    for seed in range(number * 25, number * 25 + 25):
        chance = random.Random(seed)
        steps = steps_of(chance)
        check_against_the_model(steps, [chance.random() for _ in range(100)], seed % 2 == 0)


@settings(max_examples=150)
@given(st.lists(STEPS, max_size=25), DRAWS, st.booleans())
def test_a_cut_leaves_what_the_model_says(steps, draws, whole_sectors):
    check_against_the_model(steps, draws, whole_sectors)


def check_against_the_model(steps, draws, whole_sectors):
    medium, naive = live(steps)

    assert {name: bytes(one.content) for name, one in medium.files.items()} == naive.seen()
    assert {name: bytes(one.durable()) for name, one in medium.durable().items()} == naive.durable()

    left, _ = medium.after_cut(Repeating(draws), whole_sectors=whole_sectors)

    assert {name: bytes(one.content) for name, one in left.files.items()} == naive.after_cut(
        Repeating(draws), whole_sectors
    )


@settings(max_examples=150)
@given(st.lists(STEPS, max_size=25), DRAWS)
def test_what_was_synced_and_not_touched_since_is_there(steps, draws):
    """The promise itself, without any knowledge of fates: no byte changes that nobody has written over."""
    medium, naive = live(steps)
    durable = naive.durable()
    left, _ = medium.after_cut(Repeating(draws), whole_sectors=False)
    for name, past in naive.names.items():
        if len(past) > 1 or past[0] is None:
            continue
        open_ones = [(offset, data) for state, offset, data in past[0].done if state != "certain"]
        # A hole before a write is filled when that is kept; a truncation touches all that is behind.
        end = min([len(durable[name]), *(offset for offset, data in open_ones if data is None)])
        touched = {place for offset, data in open_ones if data for place in range(offset, offset + len(data))}
        content = left.files[name].content

        assert len(content) >= end
        assert all(content[place] == durable[name][place] for place in range(end) if place not in touched)


@given(st.lists(STEPS, max_size=25), DRAWS)
def test_what_a_cut_has_left_is_durable(steps, draws):
    """A second cut changes nothing."""
    medium, _ = live(steps)
    left, _ = medium.after_cut(Repeating(draws), whole_sectors=False)
    again, report = left.copy().after_cut(Repeating(draws), whole_sectors=False)

    assert left.digest() == again.digest()
    assert tuple(report) == (0, 0, 0, 0, 0)


@given(st.lists(STEPS, max_size=25), DRAWS)
def test_a_crash_changes_nothing_and_shares_nothing(steps, draws):
    """The next process sees the same, is cut the same, and what it does leaves the dead one's view alone."""
    medium, _ = live(steps)
    twin, before = medium.copy(), medium.digest()

    assert twin.digest() == before
    assert (
        twin.after_cut(Repeating(draws), whole_sectors=True)[0].digest()
        == medium.after_cut(Repeating(draws), whole_sectors=True)[0].digest()
    )

    for stored in twin.files.values():
        for offset in range(len(stored.durable())):
            stored.flip(offset, 1)

    assert medium.digest() == before

    for name in NAMES:
        stored = twin.files.get(name) or twin.make(name)
        stored.write(b"more", 0)
        twin.sync_file(name, stored, is_log=True)

    assert medium.digest() == before


@given(st.lists(STEPS, max_size=25), st.integers(0, 10_000), st.integers(0, 7))
def test_a_flipped_bit_is_one_bit_of_what_is_durable(steps, place, bit):
    medium, naive = live([step for step in steps if step[0] != "fail"])
    before = naive.durable()
    there = {name: one for name, one in medium.durable().items() if before[name]}
    for name, stored in there.items():
        offset = place % len(before[name])
        stored.flip(offset, bit)
        rotten = bytearray(before[name])
        rotten[offset] ^= 1 << bit

        assert stored.durable() == rotten


@pytest.mark.parametrize("fate", range(4))
def test_every_fate_is_met(fate):
    """One draw in twenty at least for each, so that a thousand cuts meet all of them often."""
    assert FATES.count(fate) >= 1
    assert len(FATES) == 20


def test_a_scratch_file_remembers_nothing():
    scratch = StoredFile(scratch=True)
    scratch.write(b"x" * 5_000, 100)

    assert list(scratch.unsynced) == []
    assert scratch.content == bytes(100) + b"x" * 5_000
