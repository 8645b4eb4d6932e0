"""`python -m tests.simulation`: simulated runs from the command line."""

from __future__ import annotations

import argparse
import itertools
import os
import random
import sys
import time

from tests.simulation.campaign import Campaign, Failure, Workers, examine, keep, kept_seeds, shrink
from tests.simulation.chance import Chance
from tests.support.sabotage import GUARDS


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("count", nargs="?", type=int, help="so many runs, after those of the kept seeds")
    parser.add_argument("--first", type=int, default=0, help="the first seed (0)")
    parser.add_argument("--seed", type=int, help="this run alone, with its history")
    parser.add_argument("--without", default="", help="faults to leave out, separated by commas")
    parser.add_argument("--soak", action="store_true", help="fresh seeds for SOAK_SECONDS (for ever); finds are kept")
    parser.add_argument(
        "--sabotage", metavar="GUARD", help="without this guard of the agent (tests/support/sabotage.py)"
    )
    options = parser.parse_args()
    if options.sabotage is not None:
        GUARDS[options.sabotage](setattr)
    if options.seed is not None:
        return _one(options.seed, tuple(filter(None, options.without.split(","))), options.sabotage)
    workers = Workers(options.sabotage)
    try:
        return _soak(workers) if options.soak else _count(workers, options)
    finally:
        workers.close()


def _count(workers: Workers, options: argparse.Namespace) -> int:
    campaign = workers.run([*kept_seeds(), *range(options.first, options.first + (options.count or 0))])
    for failure in campaign.failures:
        print(shrink(failure._replace(sabotage=options.sabotage)))
    print(campaign.report(workers.count))
    return 1 if campaign.failures else 0


def _soak(workers: Workers) -> int:
    """Fresh seeds; what fails is kept."""
    first = random.SystemRandom().randrange(1 << 40)
    end = time.monotonic() + float(os.environ.get("SOAK_SECONDS", "inf"))
    print(f"seeds from {first}; ctrl-C ends it", flush=True)
    campaign, share = Campaign(), 100 * workers.count
    try:
        for begin in itertools.count(first, share):
            found = workers.run(range(begin, begin + share))
            for failure in found.failures:
                small = shrink(failure)
                keep(small)
                print(small, flush=True)
            campaign.merge(found)
            if time.monotonic() >= end:
                break
    except KeyboardInterrupt:
        pass
    print(campaign.report(workers.count))
    return 1 if campaign.failures else 0


def _one(seed: int, without: tuple[str, ...], sabotage: str | None) -> int:
    run, problems = examine(seed, without)
    if run is not None:
        print("\n".join(run.history.notes))
        print(f"{seed}: exit {run.exit} after {run.took:.2f} virtual seconds, history {run.digest[:16]}")
    print(f"faults: {', '.join(sorted(Chance(seed, without).faults)) or 'none'}")
    if problems:
        print(Failure(seed, without, problems, sabotage))
    return 1 if problems else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
