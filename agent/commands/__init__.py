"""The commands of `agent`: each puts parts of the other rooms together, and none of them holds a rule of its own.

What this room promises:

- A command is imported only when it is called: `agent version` takes 20 ms.
- A wrong command line ends with exit status 64 and a usage message. Neither a question (`--help`) nor an unread
  argument starts a run.
- However a run ends, COMPLETE, the exit status, the termination message and the last line on stderr agree.

Files:

    dispatch       the table of commands: a command is a module with parser() and main(), and a row there
    run            `agent run`: one run, put together
    live_row       its live row, on a terminal
    last_resort    ends of a run that are not ordinary
    check          `agent check`: everything that a run needs
    check_local    its checks of this machine alone
    check_remote   its checks of what is asked elsewhere: servers, and the proxies before them
    flush          `agent flush`: delivers dead runs
    demo           `agent demo`: the whole job without a key
    next_steps     the words at its end
    variables      `agent variables`: the variables of `agent run`
    completion     `agent completion`: for bash, zsh and fish
    version        `agent version`

`agent replay` lies in replay/, `agent serve` and `agent watch` in hub/. Callers: `agent.__main__`.
"""

from __future__ import annotations

from agent.commands import dispatch

__all__ = ["dispatch"]
