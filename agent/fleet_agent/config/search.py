"""Where a configuration file is looked for when none is named."""

import os


def search(argv0_dir: str, cwd: str) -> list[str]:
    """The candidates in order, absolute; `argv0_dir` is the folder of the program that was started."""
    relative = ("etc/supervisord.conf", "supervisord.conf")
    beside = [os.path.normpath(os.path.join(cwd, argv0_dir, "..", name)) for name in relative]
    below = [os.path.join(cwd, name) for name in reversed(relative)]
    candidates = [*beside, *below, "/etc/supervisord.conf", "/etc/supervisor/supervisord.conf"]
    return list(dict.fromkeys(candidates))
