from hypothesis import given
from hypothesis import strategies as st

from agent.protocol.ids import ulid


def test_known_value() -> None:
    assert ulid(1469918176.385, bytes(10)) == "01ARYZ6S410000000000000000"


@given(st.floats(0, 2**47 / 1000), st.floats(0, 2**47 / 1000), st.binary(min_size=10, max_size=10))
def test_sorts_by_time(a: float, b: float, entropy: bytes) -> None:
    one, two = ulid(a, entropy), ulid(b, entropy)
    assert len(one) == 26
    assert (int(a * 1000) < int(b * 1000)) == (one < two)
