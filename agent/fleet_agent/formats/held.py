"""The formats of what the keeper writes; apart from the others, so that these may change without it."""

from fleet_agent.formats.format import Format

RUN_RECORD = Format("run_record", "a run record")
HANDOVER = Format("handover", "what a keeper leaves to the next one")
