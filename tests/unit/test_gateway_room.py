"""Room for connections: who has waited longest makes place, and nobody who is being answered."""

import pytest

from wepeople_gateway.room import Room


class Guest:
    def __init__(self, waits: bool = True) -> None:
        self.waits = waits
        self.present = True

    def leave(self) -> None:
        self.present = False


@pytest.fixture
def room() -> Room:
    return Room(3)


def enter(room: Room, *guests: Guest) -> list[bool]:
    return [room.enter(guest) for guest in guests]


def test_as_many_enter_as_there_are_places(room: Room) -> None:
    guests = [Guest() for _ in range(3)]
    assert enter(room, *guests) == [True] * 3
    assert all(guest.present for guest in guests)


def test_a_new_one_takes_the_place_of_the_one_that_has_waited_longest(room: Room) -> None:
    first, second, third, new = (Guest() for _ in range(4))
    enter(room, first, second, third)
    room.used(first)
    assert room.enter(new)
    assert [guest.present for guest in (first, second, third)] == [True, False, True]
    assert len(room) == 3


def test_who_is_being_answered_stays(room: Room) -> None:
    busy, waiting, new = Guest(waits=False), Guest(), Guest()
    enter(room, busy, Guest(waits=False), waiting)
    assert room.enter(new)
    assert busy.present
    assert not waiting.present


def test_when_all_are_being_answered_a_new_one_does_not_enter(room: Room) -> None:
    enter(room, *(Guest(waits=False) for _ in range(3)))
    refused = Guest()
    assert not room.enter(refused)
    assert len(room) == 3


def test_a_place_is_free_once_its_connection_is_closed(room: Room) -> None:
    busy = [Guest(waits=False) for _ in range(3)]
    enter(room, *busy)
    room.left(busy[0])
    room.left(busy[0])
    assert room.enter(Guest())


def test_one_that_never_entered_gets_no_place_by_being_answered(room: Room) -> None:
    room.used(Guest())
    assert len(room) == 0
