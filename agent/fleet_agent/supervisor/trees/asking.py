"""The request `tree` of the door and the gateway: answered when the tree thread has read /proc."""

from collections.abc import Callable, Iterable
from typing import Any

from fleet_api.errors import Broken
from fleet_api.rows import ProcessRow

from fleet_agent.supervisor.sessions import Session
from fleet_agent.supervisor.trees.showing import Shown
from fleet_agent.supervisor.trees.trees import Trees


def ask(
    session: Session, number: int, trees: Trees, ids: Iterable[str], present: Callable[[], dict[str, Any]]
) -> None:
    """Answer with what `present` gives then, each of its processes with its tree.

    Raises: BadRequest when the session has too much open.
    """
    is_wanted = True

    def cancel() -> None:
        nonlocal is_wanted
        is_wanted = False

    def reply(found: dict[str, Shown] | None) -> None:
        if not is_wanted:
            return
        if found is None:
            session.fail(number, Broken("TREE_FAILED", "the descendants could not be read"))
            return
        answer = present()
        answer["processes"] = (_with_tree(row, found) for row in answer["processes"])
        session.answer(number, answer)

    session.begin_stream(number, cancel)
    trees.show(ids, reply)


def _with_tree(row: ProcessRow, found: dict[str, Shown]) -> ProcessRow:
    tree = found[f"{row['group']}:{row['name']}"]
    if tree.rows:
        row["tree"], row["tree_size"] = tree
    return row
