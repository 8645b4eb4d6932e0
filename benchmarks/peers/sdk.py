"""claude-agent-sdk for Python: it parses claude's output into objects. It sends nothing anywhere."""

import asyncio
import json
import os
import time

from claude_agent_sdk import ClaudeAgentOptions, query


async def main() -> None:
    options = ClaudeAgentOptions(cli_path=os.environ["CLAUDE_BIN"])
    count, first, last = 0, 0.0, 0.0
    async for _ in query(prompt="task", options=options):
        last = time.monotonic()
        first = first or last
        count += 1
    print(json.dumps({"lines": count, "first": first, "last": last}))


asyncio.run(main())
