"""A fake agent as a process: `slow_agent.py PKI_FOLDER HOST_ID SECONDS` prints its address as JSON."""

import asyncio
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from fakes.agent import FakeAgent
from fakes.certificates import Files
from fleet_api import identity
from fleet_api.identity import Role


async def main(folder: Path, host_id: str, seconds: float) -> None:
    files = Files(
        str(folder / f"agent-{host_id}.crt"),
        str(folder / f"agent-{host_id}.key"),
        str(folder / "ca.crt"),
        identity.make("test", Role.AGENT, host_id),
    )
    async with FakeAgent(host_id, files) as agent:
        agent.operate_seconds = seconds
        print(json.dumps({"address": agent.address}), flush=True)
        await asyncio.Event().wait()


asyncio.run(main(Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])))
