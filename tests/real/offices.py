"""The processes of an agent, told apart by their command lines; used by tests and by `programs/mined.py`."""


def children(keeper: int) -> list[int]:
    """The pids of a keeper's children."""
    try:
        with open(f"/proc/{keeper}/task/{keeper}/children", encoding="ascii") as file:
            return [int(pid) for pid in file.read().split()]
    except OSError:
        return []


def is_office(pid: int, name: str) -> bool:
    """Whether this process is a supervisor or a gateway, as `name` says, with or without mines."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            command = file.read()
    except OSError:
        return False
    return f"/{name}/main.py\0".encode() in command or f"mined.py\0{name}\0".encode() in command
