"""Which hosts a request means; called by `service` before anything is done."""

from fleet_api import hostset
from fleet_api.errors import BadRequest

from fleet_controller.model import Inventory

SHOWN_NAMES = 10


def resolve(expression: str, all_hosts: bool, inventory: Inventory) -> tuple[str, ...]:
    """The names of the targeted hosts, each once, in the order in which the expression names them.

    Raises: BadRequest EMPTY_TARGET when nothing is named or nothing is left, AMBIGUOUS_TARGET when both
    an expression and all hosts are asked for, UNKNOWN_HOST, and whatever is wrong with the expression.
    """
    if all_hosts and expression.strip():
        raise BadRequest(
            "AMBIGUOUS_TARGET",
            f"both all hosts and the host expression {expression!r} are asked for",
            "give one of the two: -H EXPR or --all-hosts",
        )
    if all_hosts:
        if not inventory.hosts:
            raise BadRequest("EMPTY_TARGET", "the inventory holds no host", "add hosts to the inventory file")
        return tuple(inventory.hosts)
    if not expression.strip():
        raise BadRequest("EMPTY_TARGET", "no host is named", "name hosts with -H EXPR, or say --all-hosts")
    try:
        names = hostset.parse(expression, groups=inventory.groups.__getitem__, known=inventory.hosts)
    except BadRequest as error:
        if error.code != "EMPTY_HOST_SET":
            raise
        raise BadRequest("EMPTY_TARGET", error.message, error.hint) from error
    unknown = [name for name in names if name not in inventory.hosts]
    if unknown:
        shown = ", ".join(unknown[:SHOWN_NAMES])
        more = f" and {len(unknown) - SHOWN_NAMES} more" if len(unknown) > SHOWN_NAMES else ""
        raise BadRequest(
            "UNKNOWN_HOST",
            f"the inventory does not know {shown}{more}",
            "`fleetctl hosts` lists what it knows",
        )
    return tuple(names)
