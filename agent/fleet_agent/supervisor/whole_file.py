"""Small files that nobody ever reads half-written, and that are on the disk when the call returns."""

import os


def write_whole(path: str, text: str) -> None:
    """Put `text` in the place of the file at `path`.

    Raises: OSError; the file is then as it was.
    """
    draft = f"{path}.draft"
    with open(draft, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.rename(draft, path)
