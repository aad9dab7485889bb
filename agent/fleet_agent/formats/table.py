"""Every format in which an agent keeps state. Whoever keeps a file takes its number from here."""

from fleet_agent.formats.format import Format
from fleet_agent.formats.held import HANDOVER, RUN_RECORD

JOURNAL = Format("journal", "the event journal", key="v")
RESULTS = Format("results", "the file of earlier operations", key="v")
ACTIVE = Format("active", "the configuration in force", key="v")
EPOCHS = Format("epochs", "the file of controllers' epochs")
DESIRES = Format("desires", "the file of what operators stopped or disabled")
SIDECAR = Format("sidecar", "the record of a log")
IN_FLIGHT = Format("in_flight", "the in-flight journal")
UPGRADE = Format("upgrade", "the record of the last upgrade", is_vital=False)
PORT = Format("port", "the number of the port", is_vital=False)
ENDPOINT = Format("endpoint", "the announcement of the addresses", is_vital=False)

_ALL = (
    RUN_RECORD,
    HANDOVER,
    JOURNAL,
    RESULTS,
    ACTIVE,
    EPOCHS,
    DESIRES,
    SIDECAR,
    IN_FLIGHT,
    UPGRADE,
    PORT,
    ENDPOINT,
)
FORMATS = {format_.name: format_ for format_ in _ALL}
"""All of them, by name."""
