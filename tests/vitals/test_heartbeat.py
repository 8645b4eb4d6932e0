import msgspec
import trio

from agent.limits import Limits
from agent.vitals.heartbeat import beat_forever


async def test_intervals(autojump_clock) -> None:
    beats, writes = [], []
    limits = msgspec.structs.replace(Limits(), heartbeat_interval=10.0, health_interval=1.0)
    with trio.move_on_after(60.5):
        await beat_forever(
            lambda: beats.append(trio.current_time()), lambda: writes.append(trio.current_time()), limits
        )
    assert len(beats) == 6
    assert len(writes) == 61
    assert writes[0] == 0, "a health check in the first second finds the file"
