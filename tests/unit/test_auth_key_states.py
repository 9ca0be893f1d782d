"""What auth remembers of keys: how old it may be, and what a revocation does to it."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from wepeople_auth.keys.states import KeyState, KeyStates
from wepeople_contracts.auth import Principal

KEY = "9f3c3e4c1e9b"
KEYS = 3


def state(key_id: str = KEY, *, revoked: bool = False) -> KeyState:
    principal = Principal(
        org_id="org_1",
        app_id="app_1",
        app_slug="ci",
        connection="custom:ci",
        key_id=key_id,
        allowed_event_types=frozenset({"deploy.shipped"}),
        key_requests_per_second=60,
        org_requests_per_second=600,
        max_events_per_month=None,
    )
    return KeyState(hash=f"hash of {key_id}", revoked=revoked, principal=principal)


def test_a_state_serves_until_the_age_that_is_asked_for_and_tells_its_age() -> None:
    states = KeyStates()
    states.remember(state(), began_at=100.0, generation=states.generation)
    assert states.recall(KEY, now=105.0, max_age_seconds=5.0) == (state(), 5.0)
    assert states.recall(KEY, now=105.1, max_age_seconds=5.0) is None
    assert states.recall(KEY, now=105.1, max_age_seconds=60.0) is not None


def test_a_state_says_who_holds_the_key_and_how_old_the_answer_is() -> None:
    assert state().principal_aged(2.5) == state().principal.model_copy(update={"age_seconds": 2.5})


def test_a_revocation_forgets_the_key_and_no_other() -> None:
    states = KeyStates()
    for key_id in (KEY, "000000000000"):
        states.remember(state(key_id), began_at=0.0, generation=states.generation)
    states.forget(KEY)
    assert states.recall(KEY, now=0.0, max_age_seconds=60.0) is None
    assert states.recall("000000000000", now=0.0, max_age_seconds=60.0) is not None


def test_a_read_that_began_before_the_revocation_does_not_bring_the_key_back() -> None:
    states = KeyStates()
    before = states.generation
    states.forget(KEY)
    assert not states.remember(state(), began_at=0.0, generation=before)
    assert states.recall(KEY, now=0.0, max_age_seconds=60.0) is None


def test_a_read_that_began_after_the_revocation_is_kept() -> None:
    states = KeyStates()
    states.forget(KEY)
    assert states.remember(state(revoked=True), began_at=0.0, generation=states.generation)


def test_a_read_of_another_key_survives_a_revocation() -> None:
    states = KeyStates()
    before = states.generation
    states.forget("000000000000")
    assert states.remember(state(), began_at=0.0, generation=before)


def test_after_a_lost_connection_no_earlier_read_is_believed() -> None:
    states = KeyStates()
    before = states.generation
    states.remember(state(), began_at=0.0, generation=before)
    states.forget_all()
    assert states.recall(KEY, now=0.0, max_age_seconds=60.0) is None
    assert not states.remember(state(), began_at=0.0, generation=before)


def test_a_revocation_that_fell_out_of_memory_still_counts() -> None:
    states = KeyStates(limit=1)
    before = states.generation
    states.forget(KEY)
    states.forget("000000000000")
    assert not states.remember(state(), began_at=0.0, generation=before)


@dataclass(frozen=True)
class BeginRead:
    key: int


@dataclass(frozen=True)
class EndRead:
    which: int


@dataclass(frozen=True)
class Revoke:
    key: int


@dataclass(frozen=True)
class Reconnect:
    pass


_keys = st.integers(0, KEYS - 1)
_steps = st.lists(
    st.one_of(
        st.builds(BeginRead, _keys),
        st.builds(EndRead, st.integers(0, 4)),
        st.builds(Revoke, _keys),
        st.just(Reconnect()),
    ),
    max_size=60,
)


@given(_steps)
def test_whatever_the_order_no_key_is_recalled_by_a_read_older_than_its_revocation(
    steps: list[BeginRead | EndRead | Revoke | Reconnect],
) -> None:
    """With room for one key only, so that memory of revocations is lost all the time."""
    states = KeyStates(limit=1)
    reads: list[tuple[int, int, float]] = []
    mistrusted_since = dict.fromkeys(range(KEYS), -1.0)
    for now, step in enumerate(steps):
        match step:
            case BeginRead(key):
                reads.append((key, states.generation, float(now)))
            case EndRead(which) if which < len(reads):
                key, generation, began_at = reads[which]
                states.remember(state(str(key)), began_at=began_at, generation=generation)
            case Revoke(key):
                states.forget(str(key))
                mistrusted_since[key] = float(now)
            case Reconnect():
                states.forget_all()
                mistrusted_since = dict.fromkeys(range(KEYS), float(now))
        for key in range(KEYS):
            recalled = states.recall(str(key), now=float(now), max_age_seconds=1_000.0)
            assert recalled is None or now - recalled[1] > mistrusted_since[key]
