"""The book as Markdown, with the targets beside what was reached."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.experiments import Bench
from benchmarks.peers import AGENT, BY_HAND, NODE, RELAY, SDK, Peer, versions

_MB = 1 << 20
_MS = 1e-3


def markdown(bench: Bench) -> str:
    sections = [_header(bench), _throughput(bench), _agent(bench), _targets(bench)]
    if bench.book.problems:
        sections.append("**Problems**\n\n" + "\n".join(f"- {problem}" for problem in bench.book.problems))
    else:
        sections.append("In no run of the agent was a line lost, doubled, reordered or changed.")
    if bench.book.peers_problems:
        sections.append("Of the peers:\n\n" + "\n".join(f"- {problem}" for problem in bench.book.peers_problems))
    return "\n\n".join(section for section in sections if section) + "\n"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def facts() -> str:
    """Of which machine, and of which versions, the numbers are."""
    return "\n".join(f"- {name}: {value}" for name, value in versions().items())


def _header(bench: Bench) -> str:
    plan = bench.plan
    peers = "\n".join(f"- **{peer.name}**: {peer.does}" for peer in bench.peers)
    return f"{facts()}\n- {plan.rounds} rounds of {plan.lines:,} lines; medians, and the range in brackets\n\n{peers}"


def _throughput(bench: Bench) -> str:
    book = bench.book

    def row(peer: Peer) -> list[str]:
        ratio = f"{book.ratio('rate', peer, NODE):.2f}" if NODE in bench.peers else "-"
        return [
            peer.name,
            book.get(peer, "rate").shown(),
            f"{book.get(peer, 'bandwidth').median / 1e6:,.0f}",
            ratio,
            book.get(peer, "cpu").shown(_MS, 1),
            book.get(peer, "rss").shown(_MB),
            book.get(peer, "start").shown(_MS),
            " / ".join(f"{book.get(peer, p).median / _MS:.2f}" for p in ("p50", "p90", "p99"))
            if book.get(peer, "p50").values
            else "-",
        ]

    head = [
        "",
        "lines/s",
        "MB/s",
        "x node",
        "CPU ms / 1,000 lines",
        "peak RSS MB",
        "start ms",
        "latency p50 / p90 / p99 ms",
    ]
    return table(head, [row(peer) for peer in bench.peers])


def _agent(bench: Bench) -> str:
    book, plan = bench.book, bench.plan
    rows = [
        (f"peak RSS, {4 * plan.lines:,} lines", "4 x rss", _MB, " MB"),
        (f"peak RSS, server stalled for {plan.stall:g} s", "stall rss", _MB, " MB"),
        ("claude held up by that server", "stall wrote", 1, " s"),
        (f"one line of {plan.long_line / 1e6:g} MB", "long", _MS, " ms"),
        ("a quarter of it", "quarter", _MS, " ms"),
        ("peak RSS with it", "long rss", _MB, " MB"),
        ("idle, CPU a minute", "idle", _MS, " ms"),
        ("idle, RSS", "idle rss", _MB, " MB"),
        ("SIGTERM to COMPLETE, polite claude", "stop", _MS, " ms"),
        ("backlog after an outage, lines/s", "drain rate", 1, ""),
        ("copies after an outage", "copies", 1, ""),
    ]
    shown = [
        [name, *(book.get(peer, key).shown(unit, 1) + suffix if book.get(peer, key).values else "-"
                 for peer in (AGENT, NODE))]
        for name, key, unit, suffix in rows
        if book.get(AGENT, key).values
    ]  # fmt: skip
    return table(["", "agent", "node"], shown) if shown else ""


def _targets(bench: Bench) -> str:
    book = bench.book
    get = lambda key: book.get(AGENT, key).median  # noqa: E731
    found: list[tuple[str, str, float, bool]] = []

    def want(name: str, limit: str, value: float, held: bool) -> None:
        if value == value:  # measured
            found.append((name, limit, value, held))

    if NODE in bench.peers:
        rate = book.ratio("rate", AGENT, NODE)
        want("throughput, x node", ">= 2, goal 3", rate, rate >= 2)
        start = book.ratio("start", AGENT, NODE)
        want("start, x node", "<= 1.5", start, start <= 1.5)
        p50, p99 = book.ratio("p50", AGENT, NODE), book.ratio("p99", AGENT, NODE)
        want("latency p50, x node", "<= 1.25", p50, p50 <= 1.25)
        want("latency p99, x node", "<= 1", p99, p99 <= 1)
    if BY_HAND in bench.peers:
        want("throughput, x trio", "-", book.ratio("rate", AGENT, BY_HAND), True)
        want("start, x trio (unavoidable)", "-", book.ratio("start", AGENT, BY_HAND), True)
    if SDK in bench.peers:
        rate = book.ratio("rate", AGENT, SDK)
        want("throughput, x sdk", ">= 1, goal 1.5", rate, rate >= 1)
    if RELAY in bench.peers:
        want("throughput, x relay", "-", book.ratio("rate", AGENT, RELAY), True)
    drained = get("drain rate") / get("rate")
    want("backlog after an outage, x throughput", ">= 1", drained, drained >= 1)
    for name, key, unit, limit in (
        ("CPU ms / 1,000 lines", "cpu", _MS, 50),
        ("peak RSS, MB", "rss", _MB, 45),
        ("peak RSS, 4 x lines, MB", "4 x rss", _MB, 45),
        ("peak RSS, stalled, MB", "stall rss", _MB, 45),
        (f"one line of {bench.plan.long_line / 1e6:g} MB, ms", "long", _MS, 1000),
        ("idle, CPU ms a minute", "idle", _MS, 60),
        ("SIGTERM to COMPLETE, ms", "stop", _MS, 50),
    ):
        want(name, f"<= {limit}", get(key) / unit, get(key) / unit <= limit)
    rows = [[name, limit, f"{value:.2f}", "yes" if held else "**no**"] for name, limit, value, held in found]
    return table(["target", "", "reached", ""], rows) if rows else ""
