"""Brings the state of a running agent into older formats, for a supervisor to come that reads no newer.

Called before an older version takes over, with what `core.upgrade.plan` asks for.
"""

from collections.abc import Callable, Mapping

Writers = Mapping[str, Callable[[int], None]]
"""By the name of a format: what makes its owner go on in another version of it, all that is kept included."""


def rewrite(versions: Mapping[str, int], writers: Writers) -> str:
    """Bring each format into its version; why that was not possible, or "".

    What was rewritten before a failure stays so: this version reads it, too.
    """
    for name, version in versions.items():
        if name not in writers:
            return f"{name} cannot be brought into format {version} while the agent runs"
        try:
            writers[name](version)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            return f"{name} could not be brought into format {version}: {error}"
    return ""
