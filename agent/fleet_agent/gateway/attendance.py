"""Answers the supervisor's calls, so that it knows that this gateway does its work. Run by `main`."""

import contextlib

from fleet_api.errors import FleetError

from fleet_agent.gateway.link import Link, close_fds


async def attend(link: Link) -> None:
    """Answer each call until the link ends; nothing where the supervisor does not call."""
    with contextlib.suppress(FleetError):
        async with link.stream("attend") as calls:
            async for item in calls:
                close_fds(item.fds)
                await link.call("present", call=item.body.get("call"))
