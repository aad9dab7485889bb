"""A keeper that is late, says things twice, forgets, and is killed; `HeldRuns` is the polite one."""

from collections import Counter
from collections.abc import Callable
from random import Random

from fakes.held_runs import HeldRuns, Key
from fleet_agent.core.model import Now
from fleet_agent.link.messages import Exited, Release, SendSignal, Spawn, Spawned, ToKeeper, ToSupervisor


class RudeRuns(HeldRuns):
    """Keeps books of what no supervisor may ever ask; `gone` are runs that no keeper knows any more."""

    def __init__(self, clock: Callable[[], Now]) -> None:
        super().__init__(clock)
        self.told: list[ToSupervisor] = []
        self.highest: Counter[str] = Counter()
        self.gone: set[Key] = set()

    def receive(self, message: ToKeeper) -> None:
        """Carry out what a supervisor asks, if it may be asked."""
        if isinstance(message, Spawn) and (message.process, message.run) not in self.runs:
            key = (message.process, message.run)
            lowest = self.highest[message.process] + (0 if key in self.gone or key in self.failing else 1)
            assert message.run >= lowest, f"{key}: a number that was used; the highest is {lowest}"
            self.highest[message.process] = message.run
        if isinstance(message, SendSignal) and (message.process, message.run) in self.runs:
            assert message.run == self.highest[message.process], f"a signal for an old run: {message}"
        if isinstance(message, Release) and (message.process, message.run) not in self.runs:
            # An end that was told twice; the real one passes that over, too.
            return
        super().receive(message)

    def next_told(self) -> ToSupervisor:
        """What it says next."""
        message = super().next_told()
        self.told.append(message)
        return message

    def repeat(self, dice: Random) -> None:
        """Say again what was said before."""
        if self.told:
            self.outbox.append(dice.choice(self.told[-8:]))

    def be_killed(self, dice: Random) -> None:
        """Another keeper takes over: from records that are older than the truth, and from the kernel."""
        for key, held in list(self.runs.items()):
            if held.status is None and dice.random() < 0.3:
                self.die(*key, dice.choice((0, 9, 256)))
            if held.status is not None:
                if dice.random() < 0.3:
                    # It ended before it was on record.
                    del self.runs[key]
                    self.gone.add(key)
                elif dice.random() < 0.7:
                    held.status = self.ends[key] = -1
            else:
                held.signals = dice.randint(0, held.signals)
        self.outbox.clear()
        self.told = [message for message in self.told if not isinstance(message, Spawned | Exited)]
