"""The table of docs/protocol.md: the meaning of each `metadata.kind`, and the messages of claude's that have it.

python -m tools.kinds_table
"""

from __future__ import annotations

from agent.transcript.kinds import MEANINGS, Kind
from agent.transcript.notices import OTHERS, SILENT_OTHERS, SILENT_SYSTEM, SYSTEM, Row
from agent.transcript.stream_json import Line


def table() -> str:
    """Make the table in Markdown."""
    messages: dict[Kind, list[str]] = {kind: list(meaning.messages) for kind, meaning in MEANINGS.items()}
    for prefix, rows, silent in (("system/", SYSTEM, SILENT_SYSTEM), ("", OTHERS, SILENT_OTHERS)):
        for name, describer in rows.items():
            kind = describer.kind if isinstance(describer, Row) else describer(Line("system", name)).kind
            messages[kind].append(prefix + name)
        messages["silent"] += sorted(prefix + name for name in silent)
    lines = ["| `metadata.kind` | meaning | claude's messages |", "|---|---|---|"]
    for kind, names in messages.items():
        lines.append(f"| `{kind}` | {MEANINGS[kind].words} | {', '.join(f'`{name}`' for name in names)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
