"""The kinds of claude's messages: each has a meaning, and none is one that nothing can have."""

from __future__ import annotations

import re
from typing import get_args

from agent import transcript
from agent.transcript.kinds import MEANINGS, Kind
from tests.support.places import ROOT


def test_each_kind_has_its_meaning() -> None:
    assert set(MEANINGS) == set(get_args(Kind))


def test_each_kind_is_used() -> None:
    room = ROOT / "agent" / transcript.__name__.rpartition(".")[2]
    code = "".join(path.read_text() for path in room.glob("*.py") if path.stem != "kinds")
    assert {kind for kind in MEANINGS if not re.search(f'"{kind}"', code)} == set()
