"""A record of opened files, by Linux's inotify."""

import ctypes
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_IN_OPEN = 0x20
_IN_NONBLOCK = os.O_NONBLOCK
#: Watch, mask, cookie, and length of the name that follows.
_EVENT = struct.Struct("iIII")


@contextmanager
def opened_below(folder: Path) -> Iterator[set[str]]:
    """Yield a set that gets the files below a folder that the block opens.

    Their paths are relative to the folder. A Python audit hook would miss files that
    Rust code opens, in tokenizers and safetensors.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    queue = libc.inotify_init1(_IN_NONBLOCK)
    assert queue >= 0, os.strerror(ctypes.get_errno())
    watched = {
        libc.inotify_add_watch(queue, os.fsencode(each), _IN_OPEN): each
        for each in [folder, *(f for f in folder.rglob("*") if f.is_dir())]
    }
    assert min(watched) >= 0, os.strerror(ctypes.get_errno())
    found: set[str] = set()
    try:
        yield found
    finally:
        for watch, name in _read(queue):
            file = watched[watch] / name
            if name and file.is_file():
                found.add(file.relative_to(folder).as_posix())
        os.close(queue)


def _read(queue: int) -> Iterator[tuple[int, str]]:
    while True:
        try:
            content = os.read(queue, 1 << 20)
        except BlockingIOError:
            return
        while content:
            watch, _mask, _cookie, length = _EVENT.unpack_from(content)
            name = content[_EVENT.size : _EVENT.size + length]
            content = content[_EVENT.size + length :]
            yield watch, os.fsdecode(name.rstrip(b"\0"))
