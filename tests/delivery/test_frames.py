"""Our frames against two independent readers of RFC 6455."""

import pytest
import wsproto.frame_protocol as wsfp
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.streams import StreamReader

from agent.delivery import frames

SIZES = [0, 1, 125, 126, 127, 65535, 65536, 300_000]


def read_with_websockets(data: bytes) -> list[bytes]:
    reader = StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    found = []
    while True:
        parser = Frame.parse(reader.read_exact, mask=True, max_size=None)
        try:
            while True:
                next(parser)
        except StopIteration as end:
            frame = end.value
        except EOFError:
            return found
        assert frame.opcode is Opcode.TEXT
        assert frame.fin
        found.append(bytes(frame.data))


@pytest.fixture(params=["fast", "python"])
def _mask(request, monkeypatch) -> None:
    if request.param == "python":
        monkeypatch.setattr(frames, "_fastest_mask", lambda: frames._mask_in_python)
    else:
        assert frames._fastest_mask() is not frames._mask_in_python


@pytest.mark.usefixtures("_mask")
@pytest.mark.parametrize("size", SIZES)
def test_every_length_class(size: int) -> None:
    message = bytes(i % 128 for i in range(size))
    assert read_with_websockets(frames.text_frames([message])) == [message]


@pytest.mark.usefixtures("_mask")
def test_wsproto_reads_a_batch() -> None:
    messages = ["", "a", "ü" * 100, "x" * 70_000]
    protocol = wsfp.FrameProtocol(client=False, extensions=[])
    protocol.receive_bytes(frames.text_frames([message.encode() for message in messages]))
    found, text = [], ""
    for part in protocol.received_frames():
        assert part.opcode is wsfp.Opcode.TEXT
        text += part.payload
        if part.message_finished:
            found.append(text)
            text = ""
    assert found == messages


@given(st.lists(st.text().map(str.encode), max_size=5))
def test_any_batch(messages: list[bytes]) -> None:
    assert read_with_websockets(frames.text_frames(messages)) == messages


@given(st.binary(max_size=200), st.binary(min_size=4, max_size=4))
def test_both_masks_agree(data: bytes, key: bytes) -> None:
    assert frames._mask_in_python(data, key) == frames._fastest_mask()(data, key)


def test_masking_keys_differ() -> None:
    two = frames.text_frames([b"same", b"same"])
    assert two[:10] != two[10:]
