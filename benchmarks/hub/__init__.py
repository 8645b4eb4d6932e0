"""The hub under load: simulated agents, watchers of runs and of the fleet, all on this machine.

    python -m benchmarks.hub load [--agents 1000] [--rate 2] [--watchers 20] [--seconds 20] [--restart]
    python -m benchmarks.hub back [--runs 200] [--mib 20] [--seconds 20] [--index]
    python -m benchmarks.hub start [--runs 5000] [--mib 0.02]
    python -m benchmarks.hub real [--agents 200] [--watchers 20] [--seconds 20]

Each prints one line of JSON, and exits with 1 if anything was lost.

`load` measures messages a second, the hub's CPU for each and in all, its memory, the latency from an agent's send to a
watcher's read, and that from HEARTBEAT to acknowledgement. `--rate 0` sends as fast as acknowledgements of 2,000
messages in flight allow.

`back` starts a hub over large stored runs whose agents come back at once, while one other agent sends ten lines a
second to a watcher, somebody searches all runs twice a second, and somebody reads whole runs. With `--index` the hub
has been there before.

`start` measures the time from the start of a hub over so many stored runs to its first list of runs, and until all of
them are in it: without an index, and again with it.

`real` starts `agent run` so many times, each with three lines a second, and kills the hub in the middle.

With `--stalls` the hub's loop is timed pass by pass. `stalls ms` is how long a pass took, less the time that the kernel
gave the core to somebody else: other load on the machine does not count; waiting for a disk or for Python's lock does.

Files
    __main__.py  the options and loads
    load.py      agents and watchers, each a process
    real.py      real agents
    serving.py   the hub, and what it used
    stalls.py    `agent serve` with a clock in its loop
"""
