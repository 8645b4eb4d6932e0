"""The search finds every key, however many there are and however they overlap."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.redaction.search import Search, _dealt


@settings(deadline=None, max_examples=200)
@given(st.sets(st.binary(min_size=1, max_size=6), min_size=1, max_size=150), st.binary(max_size=60))
def test_finds_something_exactly_where_a_key_is(keys: set[bytes], text: bytes) -> None:
    assert Search(keys, {}).finds_any(text) == any(key in text for key in keys)


@settings(deadline=None, max_examples=300)
@given(
    st.sets(st.text("ab:/", min_size=1, max_size=4), min_size=1, max_size=80), st.data(), st.text("ab:/", max_size=30)
)
def test_a_gate_decides_and_hides_no_other_key(keys: set[str], choice: st.DataObject, text: str) -> None:
    """A key that fails its gate may hold the beginning of one that has none."""
    gated = choice.draw(st.sets(st.sampled_from(sorted(keys))))
    gates = {key.encode(): re.compile(re.escape(key.encode()) + b"b") for key in gated}
    found = Search(map(str.encode, keys), gates).finds_any(text.encode())
    if any(key in text for key in keys - gated):
        assert found
    elif not any(key + "b" in text for key in gated):
        assert not found or any(key in text for key in gated)  # one that may hide another has no gate


def test_what_fails_its_gate_is_passed_over() -> None:
    search = Search([b"://", b"/secret"], {b"://": re.compile(b"://me:")}).finds_any
    assert not search(b"http://example.com http://example.org")
    assert search(b"http://example.com http://me:x")
    assert search(b"http://secret")


@pytest.mark.parametrize("count", [1, 15, 16, 17, 63, 64, 65, 128, 129, 384, 385, 600])
def test_each_of_many_keys_is_found(count: int) -> None:
    keys = [b"key%04d" % (number * 7919 % 10_000) for number in range(count)]
    search = Search(keys, {}).finds_any
    for key in keys:
        assert search(b"a " + key + b" z")
    assert not search(b"a key z")


@pytest.mark.parametrize("count", range(1, 65))
def test_neighbours_share_a_bucket(count: int) -> None:
    ordered = [b"%02d" % number for number in range(count)]
    dealt = _dealt(ordered)
    assert sorted(dealt) == ordered
    buckets = 16 if count > 32 else 8
    assert [key for bucket in range(buckets) for key in dealt[bucket::buckets]] == ordered
