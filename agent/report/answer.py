"""claude's whole answer, kept for stderr where there is no server: then nobody else has it. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from agent.protocol import Event


class _Claude(msgspec.Struct):
    result: str = ""


class _Metadata(msgspec.Struct):
    claude: _Claude


class _Data(msgspec.Struct):
    metadata: _Metadata


_decode = msgspec.json.Decoder(_Data).decode


class Answer:
    """The text of the last result of claude's that went by. COMPLETE carries only its first 16 KiB."""

    def __init__(self) -> None:
        self._result: Event | None = None

    def take(self, batch: Sequence[Event]) -> None:
        """Keep the last result of a batch, if there is one."""
        for event in batch:
            if event.source == "claude" and event.kind == "result":
                self._result = event

    @property
    def text(self) -> str:
        """The whole text, redacted; "" if there is no result, or none with a text."""
        try:
            return _decode(self._result.data).metadata.claude.result if self._result is not None else ""
        except msgspec.DecodeError:  # a result that is no string
            return ""
