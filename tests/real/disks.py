"""Small file systems of a test's own, to be filled and frozen; only root can make them."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

NEEDS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount file systems")


def run(*command: object) -> None:
    """Run a command of the system.

    Raises: subprocess.CalledProcessError.
    """
    subprocess.run([str(word) for word in command], check=True, capture_output=True, timeout=30)


def mount(*arguments: object) -> None:
    """Mount something, or skip the test where even root may not."""
    try:
        run("mount", *arguments)
    except (subprocess.CalledProcessError, FileNotFoundError) as error:
        pytest.skip(f"this root cannot mount: {getattr(error, 'stderr', error)}")


@contextmanager
def memory_disk(folder: Path, kilobytes: int, inodes: int = 1000) -> Iterator[Path]:
    """A file system of this size in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    mount("-t", "tmpfs", "-o", f"size={kilobytes}k,nr_inodes={inodes},mode=700", "none", folder)
    try:
        yield folder
    finally:
        run("umount", "--lazy", folder)


def fill(folder: Path) -> Path:
    """Take all room there is; the file that has it."""
    filler = folder / "filler"
    with suppress(OSError), filler.open("ab", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)
    with suppress(OSError), filler.open("ab", buffering=0) as file:
        while True:
            file.write(b"x")
    return filler


@contextmanager
def read_only(folder: Path, besides: Path) -> Iterator[None]:
    """Nothing can be written below a folder, except below another one in it."""
    mount("--bind", folder, folder)
    try:
        mount("--bind", besides, besides)
        try:
            run("mount", "-o", "remount,bind,ro", folder)
            yield
        finally:
            run("umount", "--lazy", besides)
    finally:
        run("umount", "--lazy", folder)


class LoopDisk:
    """An ext4 of its own in a file, which can be frozen: who writes waits."""

    def __init__(self, folder: Path, image: Path) -> None:
        self.folder = folder
        self._image = image
        self._is_frozen = False

    def __enter__(self) -> "LoopDisk":
        self.folder.mkdir()
        with self._image.open("wb") as file:
            file.truncate(16 * 1024 * 1024)
        try:
            run("mkfs.ext4", "-q", "-F", self._image)
        except FileNotFoundError:
            pytest.skip("there is no mkfs.ext4")
        mount("-o", "loop", self._image, self.folder)
        return self

    def __exit__(self, *_: object) -> None:
        self.thaw()
        run("umount", "--lazy", self.folder)
        self._image.unlink()

    def freeze(self) -> None:
        run("fsfreeze", "-f", self.folder)
        self._is_frozen = True

    def thaw(self) -> None:
        if self._is_frozen:
            self._is_frozen = False
            run("fsfreeze", "-u", self.folder)
