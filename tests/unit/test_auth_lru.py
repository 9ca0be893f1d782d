"""The bounded memory against a list that keeps everything."""

from hypothesis import given
from hypothesis import strategies as st

from wepeople_auth.keys.lru import Lru


@given(st.integers(1, 4), st.lists(st.tuples(st.sampled_from("pgd"), st.integers(0, 6)), max_size=60))
def test_it_holds_the_entries_used_last_and_no_more(limit: int, steps: list[tuple[str, int]]) -> None:
    lru: Lru[int, str] = Lru(limit)
    used: list[int] = []
    for operation, key in steps:
        match operation:
            case "p":
                evicted = lru.put(key, str(key))
                used = [k for k in used if k != key] + [key]
                oldest = used.pop(0) if len(used) > limit else None
                assert evicted == (None if oldest is None else (oldest, str(oldest)))
            case "g":
                assert lru.get(key) == (str(key) if key in used else None)
                if key in used:
                    used = [k for k in used if k != key] + [key]
            case "d":
                lru.drop(key)
                used = [k for k in used if k != key]
    assert [key for key in range(7) if lru.get(key) is not None] == sorted(used)
