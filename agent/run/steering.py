"""Steering: what operators tell a running claude, from the command that arrives to its last acknowledgement.

Every command of this run is acknowledged in the journal: accepted, then delivered once claude has taken it, or refused
with a reason; a journal that is full drops none of that. It takes effect once, however often it arrives; what is still
under way at the end is refused.

Synchronous and without a clock. The supervisor calls it, and it closes claude's input when nothing is under way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Protocol
from uuid import NAMESPACE_OID, uuid5

import msgspec

from agent.claude import control_request, user_line
from agent.limits import Limits
from agent.protocol import Command, Event, Level, Publish, log
from agent.text import count, one_line
from agent.transcript import OURS, MessageState, Replied, ResultGiven, Said

State = Literal["accepted", "delivered", "refused"]


class Told(Protocol):
    """The running claude, as far as it can be told something."""

    def tell(self, *lines: bytes) -> bool:
        """Hand over lines, all or none; False if the input is closed, or too much of it is waiting."""
        ...

    def hang_up(self) -> None:
        """Close the input."""
        ...


class _UnderWay(msgspec.Struct):
    command: Command
    #: What claude says of it: the uuid of a message, the ID of a request.
    sign: str
    #: Results since claude got it. It takes up a message before its second one at the latest.
    results: int = 0


class Steering:
    """The commands of one run."""

    def __init__(
        self, allowed: bool, publish: Publish, limits: Limits, keep: Callable[[], bool] = lambda: False
    ) -> None:
        """Args:
        allowed: ALLOW_STEERING; without it every command but `cancel` is refused.
        keep: asked before claude's input is closed, which it may keep open.
        """
        self._keep = keep
        self._allowed = allowed
        self._publish = publish
        self._limits = limits
        self._claude: Told | None = None
        #: Hands an answer to claude, and returns the reason if that is not possible; None where nothing is asked.
        self.answer: Callable[[Command], str] | None = None
        #: Ends the run; None where ALLOW_REMOTE_CANCEL does not allow it.
        self.cancel: Callable[[], None] | None = None
        self._over = "claude does not run yet"
        self._ended = False
        #: By ID, in order of arrival: what result.json tells of each.
        self._records: dict[str, dict[str, Any]] = {}
        self._under_way: list[_UnderWay] = []
        #: Somebody interrupted claude and may tell it something next.
        self._expectant = False
        #: claude was interrupted, and waits to be told something.
        self.waits = False
        #: Who interrupted claude last.
        self.interrupter = ""
        self._interrupts = 0
        #: Refusals beyond the limit of commands.
        self._unrecorded = 0

    @property
    def records(self) -> list[dict[str, Any]]:
        """Every command with its last state."""
        return list(self._records.values())

    def begin(self, claude: Told) -> None:
        """Take commands for this claude from now on, unless the run is being ended already."""
        if not self._ended:
            self._claude = claude

    def take(self, command: Command) -> None:
        """Carry out a command, or refuse it; one that was seen before changes nothing, since its state is known."""
        if command.id in self._records:
            return
        if command.command == "cancel":
            self._take_cancel(command)
            return
        # An answer is for a question that claude asked, so there are no more of them than it asks.
        if len(self._records) >= self._limits.commands and command.command != "answer":
            self._acknowledge(command, "refused", f"a run takes {self._limits.commands} commands at most")
            return
        reason = self._objection(command) or self._carry_out(command)
        if reason:
            self._acknowledge(command, "refused", reason)

    def heard(self, said: Said) -> None:
        """Follow what claude says of a command, and close its input after a result that leaves nothing under way."""
        match said:
            case MessageState(uuid, "started" | "completed"):
                self._delivered(uuid)
            case MessageState(uuid, "cancelled" | "discarded"):
                self._settle(uuid, "refused", "claude dropped it: an interrupt came first")
            case Replied(request):
                self._delivered(request)
            case ResultGiven():
                self._result_given()

    def hold(self, reason: str) -> None:
        """Refuse whatever comes, until `begin`."""
        self._claude, self._over = None, reason

    def end(self, reason: str) -> None:
        """Refuse what is under way and whatever comes from now on."""
        self._claude = None
        self._over = reason
        self._ended = True
        for item in list(self._under_way):
            self._settle(item.sign, "refused", reason)

    def _take_cancel(self, command: Command) -> None:
        """End the run, or refuse. No number of commands before it keeps anybody from that."""
        if self.cancel is None:
            reason = "this run is not cancelled from a server; ALLOW_REMOTE_CANCEL=1 would let it"
            self._acknowledge(command, "refused", reason)
        elif self._ended:
            self._acknowledge(command, "refused", self._over)
        else:
            self._acknowledge(command, "accepted")
            self._acknowledge(command, "delivered")
            self.cancel()

    def _objection(self, command: Command) -> str:
        if not self._allowed and (command.command != "answer" or self.answer is None):
            return "this run takes no commands; ALLOW_STEERING=1 would let it"
        if command.fault:
            return command.fault
        size = sum(len(text.encode(errors="surrogatepass")) for text in (command.text, command.message))
        if size > self._limits.command_bytes:
            return f"its text of {size} bytes is longer than {self._limits.command_bytes}"
        if self._claude is None:
            return self._over
        if len(self._under_way) >= self._limits.commands_under_way:
            return f"{len(self._under_way)} commands are under way; send it again later"
        return ""

    def _carry_out(self, command: Command) -> str:
        """Hand it to claude and acknowledge it; returns the reason if that is not possible."""
        if command.command == "answer":
            reason = self.answer(command) if self.answer else "this run asks nothing; ASK=1 would let it"
            if not reason:
                self._acknowledge(command, "accepted")
                self._acknowledge(command, "delivered")
            return reason
        items: list[_UnderWay] = []
        lines: list[bytes] = []
        if command.command == "interrupt":
            self._interrupts += 1
            items.append(_UnderWay(command, f"{OURS}command-{self._interrupts}"))
            lines.append(control_request(items[0].sign, "interrupt"))
        if command.text:
            # The interrupt with a message is delivered with its message.
            items = [_UnderWay(command, str(uuid5(NAMESPACE_OID, f"{command.run_id} {command.id}")))]
            lines.append(user_line(command.text, items[0].sign))
        if self._claude is None or not self._claude.tell(*lines):
            return "claude does not take it any more: it has its result, or does not read its input"
        self._expectant, self.waits = not command.text, False
        if command.command == "interrupt":
            self.interrupter = one_line(command.by, 80)
        self._under_way += items
        self._acknowledge(command, "accepted")
        return ""

    def _result_given(self) -> None:
        for item in list(self._under_way):
            item.results += 1
            if item.results > 1:
                self._delivered(item.sign)
        if self._under_way or self._claude is None:
            return
        if self._expectant:
            # Of this turn's result: RESULT_GRACE is the time for a message.
            self._expectant, self.waits = False, True
        elif not self._keep():
            # As long as its input is open, claude waits for more.
            self._over = "too late: claude has its result"
            self._claude.hang_up()
            self._claude = None

    def _delivered(self, sign: str) -> None:
        self._settle(sign, "delivered", "")

    def _settle(self, sign: str, state: State, reason: str) -> None:
        for item in list(self._under_way):
            if item.sign == sign:
                self._under_way.remove(item)
                self._acknowledge(item.command, state, reason)

    def _acknowledge(self, command: Command, state: State, reason: str = "") -> None:
        by, words = one_line(command.by, 80), one_line(command.text)
        record = {"id": command.id, "command": command.command, "by": by, "state": state}
        if reason:
            record["reason"] = reason
        if state != "refused" or len(self._records) < self._limits.commands or command.id in self._records:
            self._records[command.id] = record
        else:
            self._unrecorded += 1
            if self._unrecorded > self._limits.commands_refused:
                return  # a server that sends without end must not fill the journal, nor the log of the container
        said = f"{by}: {command.command}" + (f": {words}" if words and state != "delivered" else "")
        message = one_line(f"{said} ({state}: {reason})" if reason else f"{said} ({state})")
        level: Level = "warn" if state == "refused" else "info"
        batch: list[Event] = []
        more: dict[str, str] = {}
        if state == "accepted" and command.text:
            more["text"], size = command.text, len(command.text)
            if size > self._limits.command_shown:
                more["text"] = f"{command.text[: self._limits.command_shown]} ... (cut, {size} characters)"
                whole = one_line(f"{by}: the whole text of {command.id}, {count(size, 'character')}")
                batch.append(log(level, whole, source="operator", kind="text", text=command.text))
        # Kept, however full the journal: whoever sent it waits for this.
        batch.append(log(level, message, source="operator", kind="command", keep=True, command=record, **more))
        self._publish(batch)
