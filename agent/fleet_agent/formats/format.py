"""What a format is in which an agent keeps state: its number, and what of other versions is read and written.

A new version of a format is a higher `version` and an entry in `older` that turns a state of the version
before into one of the next, and back for as long as a downgrade to it shall be possible. So the code that
keeps the state knows the newest alone.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from fleet_api.version import VERSION

State = dict[str, Any]

DAMAGE = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)
"""What reading a file comes to that was torn, or that nobody of a known version wrote."""


class UnknownVersion(ValueError):
    """State in a format that this version of the program cannot read, or cannot write."""


class Older(NamedTuple):
    """An older version of a format: how its state becomes the next version's, and how it is made of that.

    `down` is None when it is no longer written: then nobody goes back to a version that reads only this.
    """

    up: Callable[[State], State]
    down: Callable[[State], State] | None = None


class Format(NamedTuple):
    """One kind of state. `words` name it to operators, `key` is the field that tells the version.

    `is_vital`: an agent that does not know this state must not take over from one that does.
    """

    name: str
    words: str
    key: str = "version"
    is_vital: bool = True
    version: int = 1
    older: Mapping[int, Older] = {}

    @property
    def reads(self) -> tuple[int, ...]:
        """The versions that can be read, oldest first."""
        return (*sorted(self.older), self.version)

    @property
    def writes(self) -> tuple[int, ...]:
        """The versions that can be written, newest first."""
        versions = [self.version]
        while (step := self.older.get(versions[-1] - 1)) is not None and step.down is not None:
            versions.append(versions[-1] - 1)
        return tuple(versions)

    def check(self, version: object) -> int:
        """The version, if it can be read.

        Raises: UnknownVersion in words that name the format and the versions.
        """
        # True is 1 to Python, and 1.0 as well.
        if type(version) is not int or version not in self.reads:
            raise UnknownVersion(refusal(self.words, version, VERSION, self.reads))
        return version

    def going_on(self, found: object) -> int:
        """The version to write by whoever goes on with a file of version `found`.

        That one, as long as it can be written: should this version of the program fail, the one before it
        comes back and finds what it can read.
        """
        return found if type(found) is int and found in self.writes else self.version

    def newest(self, state: State, version: object) -> State:
        """A state that was written in `version`, as the present version has it.

        Raises: UnknownVersion; LookupError, TypeError, ValueError or AttributeError for a damaged one.
        """
        for number in range(self.check(version), self.version):
            state = self.older[number].up(state)
        return state

    def written(self, state: State, version: int) -> State:
        """A state of the present version, as `version` has it.

        Raises: UnknownVersion when it cannot be written.
        """
        if version not in self.writes:
            raise UnknownVersion(f"fleet-agent {VERSION} does not write {self.words} in format {version}")
        for number in range(self.version - 1, version - 1, -1):
            down = self.older[number].down
            assert down is not None
            state = down(state)
        return state

    def load(self, state: Any) -> State:
        """A stored state that tells its own version, as the present version has it, without that.

        Raises: as `newest`; KeyError when it tells none.
        """
        if not isinstance(state, dict):
            raise TypeError(f"{str(state)[:80]} is no object")
        content = {name: value for name, value in state.items() if name != self.key}
        return self.newest(content, state[self.key])

    def dump(self, state: State, version: int) -> State:
        """A state to be stored that tells its own version; raises as `written`."""
        return {self.key: version, **self.written(state, version)}


def refusal(words: str, found: object, program_version: str, reads: tuple[int, ...]) -> str:
    """Why a state in format `found` is no use to a version of this program."""
    known = " and ".join(map(str, reads)) if len(reads) < 3 else f"{reads[0]} to {reads[-1]}"
    return f"{words} is in format {found}; fleet-agent {program_version} reads only {known}"
