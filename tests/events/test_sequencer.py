"""The sequencer against a model of a station and a network that drops, doubles and reorders."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glass_edge.events.sequencer import (
    LATEST,
    OLDEST,
    Action,
    Ask,
    Deliver,
    EpochChanged,
    Lost,
    Numbered,
    Rewound,
    Sequencer,
)


def document(epoch: str, seq: int) -> bytes:
    return f"{epoch}:{seq}".encode()


@dataclass
class Station:
    """What a station does: counts, keeps from `oldest` on, answers."""

    limit: int = 3
    epoch: str = "a"
    head: int = 0
    oldest: int = 1

    def reply(self, ask: Ask) -> tuple[str, str, int, int, list[Numbered]]:
        if ask.epoch is not None and ask.epoch != self.epoch:
            return "wrong", self.epoch, self.oldest, self.head, []
        last = min(self.head, max(ask.from_seq, self.oldest) + min(ask.limit, self.limit) - 1)
        events = [Numbered(seq, document(self.epoch, seq)) for seq in range(max(ask.from_seq, self.oldest), last + 1)]
        return "replay", self.epoch, self.oldest, self.head, events


@dataclass
class World:
    """Station, network and client."""

    client: Sequencer
    station: Station = field(default_factory=Station)
    published: list[tuple[str, int]] = field(default_factory=list)
    beacons: list[tuple[str, int]] = field(default_factory=list)
    asks: list[Ask] = field(default_factory=list)
    replies: list[tuple[int, tuple[str, str, int, int, list[Numbered]]]] = field(default_factory=list)
    history: list[Action] = field(default_factory=list)
    ever: dict[str, int] = field(default_factory=dict)
    epochs: list[str] = field(default_factory=lambda: ["a"])

    def take(self, actions: list[Action]) -> None:
        for action in actions:
            if isinstance(action, Ask):
                assert not self.asks or self.asks[-1].request_id < action.request_id
                self.asks.append(action)
            else:
                self.history.append(action)

    def append(self) -> None:
        self.station.head += 1
        self.ever[self.station.epoch] = self.station.head
        self.published.append((self.station.epoch, self.station.head))

    def reset(self) -> None:
        self.station.epoch = chr(ord(self.station.epoch) + 1)
        self.epochs.append(self.station.epoch)
        self.ever[self.station.epoch] = 0
        self.station.head, self.station.oldest = 0, 1

    def answer(self, ask: Ask) -> None:
        self.replies.append((ask.request_id, self.station.reply(ask)))

    def reply(self, index: int) -> None:
        request_id, (what, epoch, oldest, head, events) = self.replies.pop(index)
        if what == "wrong":
            self.take(self.client.on_wrong_epoch(request_id, epoch, oldest, head))
        else:
            self.take(self.client.on_replay(request_id, epoch, oldest, head, events))

    def settle(self) -> None:
        """From here on the network is kind: a beacon, time-outs for what was lost, then every request is answered."""
        if self.asks:
            self.take(self.client.on_timeout(self.asks[-1].request_id))
        for _ in range(3):
            self.take(self.client.on_beacon(self.station.epoch, self.station.head))
            for _ in range(10_000):
                asks, self.asks = self.asks, []
                if not asks:
                    break
                self.replies.clear()
                self.answer(asks[-1])
                self.reply(0)
            else:
                raise AssertionError("the client never stops asking")


def play(data: st.DataObject, world: World, *, resets: bool, trims: bool) -> None:
    world.ever.setdefault("a", 0)
    world.take(world.client.begin())
    moves = ["append", "append", "publish", "drop", "double", "beacon", "answer", "reply", "timeout"]
    moves += ["reset"] * resets + ["trim"] * trims
    for move in data.draw(st.lists(st.sampled_from(moves), max_size=60)):
        if move == "append":
            world.append()
        elif move in ("publish", "double", "drop") and world.published:
            index = data.draw(st.integers(0, len(world.published) - 1))
            epoch, seq = world.published[index]
            if move != "drop":
                world.take(world.client.on_event(epoch, seq, document(epoch, seq)))
            if move != "double":
                world.published.pop(index)
        elif move == "beacon":
            world.beacons.append((world.station.epoch, world.station.head))
            world.take(world.client.on_beacon(*data.draw(st.sampled_from(world.beacons))))
        elif move == "answer" and world.asks:
            world.answer(data.draw(st.sampled_from(world.asks)))
        elif move == "reply" and world.replies:
            world.reply(data.draw(st.integers(0, len(world.replies) - 1)))
        elif move == "timeout" and world.asks:
            world.take(world.client.on_timeout(data.draw(st.sampled_from(world.asks)).request_id))
        elif move == "reset" and len(world.epochs) < 4:
            world.reset()
        elif move == "trim" and world.station.head > world.station.oldest:
            world.station.oldest = data.draw(st.integers(world.station.oldest, world.station.head))
    world.settle()


def delivered(world: World) -> list[int]:
    return [action.seq for action in world.history if isinstance(action, Deliver)]


@settings(max_examples=300, deadline=None)
@given(st.data(), st.integers(1, 5), st.integers(1, 6))
def test_every_event_once_and_in_order_whatever_the_network_does(data: st.DataObject, batch: int, window: int) -> None:
    world = World(Sequencer(None, OLDEST, batch=batch, window=window))
    play(data, world, resets=False, trims=False)
    assert world.history == [Deliver("a", seq, document("a", seq)) for seq in range(1, world.station.head + 1)]
    assert not world.client.is_behind


@settings(max_examples=300, deadline=None)
@given(st.data(), st.integers(0, 5))
def test_going_on_after_a_committed_event(data: st.DataObject, committed: int) -> None:
    world = World(Sequencer("a", committed + 1, batch=2, window=3))
    for _ in range(committed):
        world.append()
    play(data, world, resets=False, trims=False)
    assert delivered(world) == list(range(committed + 1, world.station.head + 1))
    assert len(world.history) == len(delivered(world))


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_what_is_no_longer_kept_is_named_in_its_place(data: st.DataObject) -> None:
    world = World(Sequencer("a", 1, batch=2, window=3))
    play(data, world, resets=False, trims=True)
    accounted: list[int] = []
    for action in world.history:
        assert isinstance(action, Deliver | Lost)
        accounted += [action.seq] if isinstance(action, Deliver) else range(action.first_seq, action.last_seq + 1)
    assert accounted == list(range(1, world.station.head + 1))
    for action in world.history:
        if isinstance(action, Deliver):
            assert action.document == document("a", action.seq)


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_epochs_follow_each_other_and_each_is_accounted_for(data: st.DataObject) -> None:
    world = World(Sequencer("a", 1, batch=2, window=3))
    play(data, world, resets=True, trims=True)
    epoch, accounted = "a", 0
    for action in world.history:
        if isinstance(action, EpochChanged):
            assert (action.previous, action.delivered_seq) == (epoch, accounted)
            assert action.epoch > epoch  # never back to an older one
            epoch, accounted = action.epoch, 0
        elif isinstance(action, Deliver):
            assert (action.epoch, action.seq) == (epoch, accounted + 1)
            assert action.document == document(epoch, action.seq)
            accounted = action.seq
        else:
            assert isinstance(action, Lost)
            assert (action.epoch, action.first_seq) == (epoch, accounted + 1)
            accounted = action.last_seq
            assert accounted <= world.ever[epoch]
    assert epoch == world.station.epoch
    assert accounted == world.station.head


def test_starting_with_what_comes_next() -> None:
    world = World(Sequencer(None, LATEST))
    for _ in range(5):
        world.append()
    world.take(world.client.begin())
    assert world.asks[0].limit == 0
    world.settle()
    world.append()
    world.take(world.client.on_event("a", 6, b"six"))
    assert world.history == [Deliver("a", 6, b"six")]


def test_starting_at_the_oldest_kept_is_no_loss() -> None:
    world = World(Sequencer(None, OLDEST))
    for _ in range(5):
        world.append()
    world.station.oldest = 3
    world.take(world.client.begin())
    world.settle()
    assert delivered(world) == [3, 4, 5]
    assert len(world.history) == 3


def test_starting_at_a_number_that_is_gone_names_the_loss() -> None:
    world = World(Sequencer(None, 2))
    for _ in range(5):
        world.append()
    world.station.oldest = 4
    world.take(world.client.begin())
    world.settle()
    assert world.history[0] == Lost("a", 2, 3)
    assert delivered(world) == [4, 5]


def test_a_journal_that_went_back_is_told_and_nothing_follows() -> None:
    world = World(Sequencer("a", 8))
    for _ in range(5):
        world.append()
    world.take(world.client.begin())
    world.settle()
    assert world.history == [Rewound("a", 8, 5)]
    assert world.client.on_beacon("a", 5) == []


def test_a_stale_beacon_is_no_proof_that_the_journal_went_back() -> None:
    world = World(Sequencer("a", 1))
    world.take(world.client.begin())
    for _ in range(5):
        world.append()
    world.settle()
    world.take(world.client.on_beacon("a", 2))
    world.settle()
    assert delivered(world) == [1, 2, 3, 4, 5]
    assert len(world.history) == 5


def test_a_late_message_of_an_old_epoch_does_not_turn_the_client_back() -> None:
    world = World(Sequencer("b", 1), station=Station(epoch="b"), epochs=["b"])
    world.take(world.client.begin())
    world.append()
    world.settle()
    world.take(world.client.on_event("a", 77, b"old"))
    world.take(world.client.on_beacon("a", 77))
    world.settle()
    assert world.history == [Deliver("b", 1, document("b", 1))]


def test_a_reply_that_contradicts_itself_is_not_asked_again_at_once() -> None:
    client = Sequencer("a", 1)
    (ask,) = client.begin()
    assert isinstance(ask, Ask)
    assert client.on_replay(ask.request_id, "a", 1, 5, []) == []
    (again,) = client.on_beacon("a", 5)
    assert isinstance(again, Ask)
    assert client.on_wrong_epoch(again.request_id, "a", 1, 5) == []


def test_replies_to_given_up_requests_are_ignored() -> None:
    client = Sequencer("a", 1)
    (first,) = client.begin()
    assert isinstance(first, Ask)
    (second,) = client.on_timeout(first.request_id)
    assert isinstance(second, Ask)
    assert client.on_replay(first.request_id, "a", 1, 1, [Numbered(1, b"x")]) == []
    assert client.on_timeout(first.request_id) == []
    assert client.on_replay(second.request_id, "a", 1, 1, [Numbered(1, b"x")]) == [Deliver("a", 1, b"x")]


def test_an_epoch_without_a_place_is_refused() -> None:
    with pytest.raises(ValueError, match="number of the next event"):
        Sequencer("a", LATEST)
