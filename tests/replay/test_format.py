import msgspec

from agent.replay.format import Entry, Fault, Inbox


def test_what_is_not_said_takes_no_room() -> None:
    assert msgspec.json.encode(Entry(1.5, stdout=2)) == b'{"t":1.5,"stdout":2}'
    inbox = Inbox("Failed", "RUNNING", "stdout", fault=Fault("ValueError", "bug"))
    line = msgspec.json.encode(Entry(0.0, inbox=inbox))
    assert msgspec.json.decode(line, type=Entry) == Entry(0.0, inbox=inbox)
