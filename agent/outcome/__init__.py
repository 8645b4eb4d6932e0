"""The outcome of a run: exit status, reason and words, decided in one place. Pure.

The rules, in the order in which they count:

1. A cause stands above everything that claude did: the agent ended the run early, by a signal, a deadline, or a failure
   of its own. The first cause of a run counts (run/machine.py keeps it), and it carries its own exit status.
2. Otherwise the first row of the table in verdict.py that holds is the outcome.
3. Success takes five facts: exit status 0; a result exists; its is_error is false; its subtype is success; it has at
   least one turn. A claude that has given a good result and does not exit counts as a success too: it is stopped after
   RESULT_GRACE.
4. With VERIFY_COMMAND a success counts only if that command passed; otherwise the run failed, with reason `verify`.
5. After the delivery, STRICT_DELIVERY=1 turns a success that the server has not confirmed into exit 74.

Exit codes and the words of COMPLETE.reason are a contract with users (README, docs/operations.md): a row may be added,
but none may change its meaning.

Files:

    causes      Cause, and one function for each reason to end a run early
    verdict     Outcome, the table, judge(), trouble(); after_delivery() for STRICT_DELIVERY
    proof       Proof, and proven(): what VERIFY_COMMAND makes of a success

Callers: run/ judges; report/ words the outcome; commands/ answers for failures before and after a run.
"""

from __future__ import annotations

from agent.outcome import causes
from agent.outcome.causes import Cause, CauseKind
from agent.outcome.proof import Proof, proven
from agent.outcome.verdict import Outcome, after_delivery, judge, trouble

__all__ = ["Cause", "CauseKind", "Outcome", "Proof", "after_delivery", "causes", "judge", "proven", "trouble"]
