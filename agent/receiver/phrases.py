"""Words for a person, made from the fields of messages. A value may have any type; nonsense is left out."""

from __future__ import annotations

import math
import re
from typing import Any

from agent.limits import MIB
from agent.text import count, money

_BAR = 24
#: Rules that programs draw, which say nothing and fill a line.
_RULE = re.compile(r"([-=_*~#.])\1{7,}")


def word(value: object) -> str:
    """Return a scalar as text, an empty text for an absent or nested value."""
    return "" if value is None or isinstance(value, dict | list) else str(value)


def number(value: object) -> float | None:
    """Return a finite number, None for any other value."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def plain(fields: dict[str, Any]) -> str:
    """Describe a kind that has no words of its own: its message if it has one, else its fields."""
    return word(fields.get("message")) or ", ".join(f"{name} {word(value)}" for name, value in fields.items())


def without_rules(text: str) -> str:
    """Shorten rules such as `--------` to three characters."""
    return _RULE.sub(r"\1\1\1", text)


def permissions(suggestions: object) -> str:
    """Describe what claude may do without a question once its suggestions are taken."""
    found: list[str] = []
    for each in suggestions if isinstance(suggestions, list) else ():
        if not isinstance(each, dict):
            continue
        rules, directories = each.get("rules"), each.get("directories")
        for rule in rules if isinstance(rules, list) else ():
            if isinstance(rule, dict) and (tool := word(rule.get("toolName"))):
                content = word(rule.get("ruleContent"))
                found.append(f"{tool}({content})" if content else f"{tool} with any arguments")
        found += [f"the directory {word(path)}" for path in directories or () if isinstance(directories, list)]
        found += [f"the mode {word(each['mode'])}"] if word(each.get("mode")) else []
    return ", ".join(found)


def progress(fields: dict[str, Any]) -> str:
    """Describe the progress of the clone: a bar if the end is known, else a count."""
    stage, percent, size = word(fields.get("stage")), number(fields.get("percent")), number(fields.get("bytes"))
    moved = f", {_mib(size)}" if size else ""
    if percent is None:
        return f"{stage}: {word(fields.get('done'))}{moved}"
    filled = round(min(max(percent, 0), 100) / 100 * _BAR)
    return f"[{'█' * filled}{'░' * (_BAR - filled)}] {percent:3.0f} % {stage}{moved}"


def error(fields: dict[str, Any]) -> str:
    """Describe an ERROR: its sentence and its code."""
    code = word(fields.get("code"))
    return word(fields.get("error")) + (f" [{code}]" if code else "")


def vitals(fields: dict[str, Any]) -> str:
    """Describe resources and turns, as far as known."""
    parts = []
    if (cpu := number(fields.get("cpu"))) is not None:
        parts.append(f"cpu {cpu:.2f}")
    if (memory := number(fields.get("memory"))) is not None:
        limit = number(fields.get("memoryLimit"))
        parts.append(f"memory {_mib(memory)}" + (f" of {_mib(limit)}" if limit else ""))
    for name, label in (("pids", "processes"), ("turns", "turns"), ("queued", "queued")):
        if (count := number(fields.get(name))) is not None:
            parts.append(f"{count:.0f} {label}")
    return ", ".join([*parts, word(fields.get("lastTool"))]).removesuffix(", ")


def start(fields: dict[str, Any]) -> list[str]:
    """Describe the run, from the first STATUS."""
    lines = [f"{name}: {word(fields[name])}" for name in ("repo", "ref", "title") if word(fields.get(name))]
    labels = fields.get("labels")
    if isinstance(labels, dict) and labels:
        lines.append("labels: " + ", ".join(f"{name}={word(value)}" for name, value in labels.items()))
    return lines


def end(fields: dict[str, Any]) -> str:
    """Describe the end of the run in one line."""
    took = number(fields.get("duration"))
    parts = (f"exit {word(fields.get('exitCode'))}", word(fields.get("reason")), _duration(took))
    return ", ".join(part for part in parts if part)


def bill(fields: dict[str, Any]) -> list[str]:
    """Describe claude's result, its cost, its verification and the changes."""
    lines = []
    result, changes = fields.get("result"), fields.get("changes")
    if isinstance(result, dict):
        turns, cost, denials = (
            number(result.get("num_turns")),
            number(result.get("cost")),
            result.get("permission_denials"),
        )
        parts = [f"claude: {word(result.get('subtype'))}"]
        parts += [] if turns is None else [count(int(turns), "turn")]
        parts += [] if cost is None else [money(cost)]
        parts += [f"{count(len(denials), 'permission')} denied"] if isinstance(denials, list) and denials else []
        lines.append(", ".join(parts))
    verify = fields.get("verify")
    if isinstance(verify, dict):
        took, tries = _duration(number(verify.get("duration"))), number(verify.get("attempts")) or 0
        parts = [f"verify: {word(verify.get('state'))}", f"{tries:.0f} attempts" if tries > 1 else "", took]
        lines.append(", ".join(filter(None, parts)))
    published = fields.get("published")
    for done in published if isinstance(published, list) else ():
        if isinstance(done, dict) and word(done.get("url")):
            kind = word(done.get("kind")).replace("_", " ")
            lines.append(f"{kind} {word(done.get('action'))}: {word(done.get('url'))}")
    if isinstance(changes, dict):
        files, more, less = (number(changes.get(name)) or 0 for name in ("files", "insertions", "deletions"))
        lines.append(f"changes: {count(int(files), 'file')}, +{more:.0f} -{less:.0f}")
        others = changes.get("others")
        for other in others if isinstance(others, list) else ():
            if isinstance(other, dict):
                size = count(int(number(other.get("files")) or 0), "file")
                lines.append(f"changes: {size} in {word(other.get('kind'))} {word(other.get('name'))}")
    return lines


def _mib(size: float) -> str:
    return f"{size / MIB:.1f} MiB"


def _duration(milliseconds: float | None) -> str:
    if milliseconds is None:
        return ""
    seconds = milliseconds / 1000
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"
