"""The files of Unix sockets, stream and datagram: made private, found stale, taken away again."""

from __future__ import annotations

import errno
import os
import socket
import stat
import sys

from portico.address import Address
from portico.errors import BindError
from portico.sockets.transport import socket_file

__all__ = ["Made", "bind_file", "unlink_same"]

_DEFAULT_MODE = 0o600
"""A Unix socket is for its owner until told otherwise (row S10)."""
_TAKEN = (errno.EAGAIN, errno.EINPROGRESS, errno.EPERM, errno.EPROTOTYPE)
"""What connecting to a socket that somebody holds may meet: a full queue, one that is connected already
(datagrams), one of another kind."""

Made = tuple[str, int]
"""A socket file of ours: its path and its inode."""


def bind_file(sock: socket.socket, address: Address) -> Made | None:
    """Bind a Unix socket at its address; the file that was made (``None`` in the abstract namespace).

    The file has the mode asked for (``?mode=660``), or 600. A stale one is removed first. Raises
    ``BindError``; then nothing is left behind.
    """
    path, made = socket_file(address), None
    try:
        if path.startswith("\0"):
            sock.bind(path)
            return None
        _remove_stale(path, address, sock.type)
        _bind_private(sock, path)
        made = path, os.lstat(path).st_ino
        os.chmod(path, address.mode if address.mode is not None else _DEFAULT_MODE)
    except BaseException as error:
        if made is not None:
            unlink_same(*made)
        if isinstance(error, OSError) and not isinstance(error, BindError):
            raise BindError(f"cannot listen on {address}: {_advice(error, path)}") from error
        raise
    return made


def unlink_same(path: str, inode: int) -> None:
    """Unlink our own file, not one that a successor has put in its place."""
    try:
        if os.lstat(path).st_ino == inode:
            os.unlink(path)
    except FileNotFoundError:
        pass


def _bind_private(sock: socket.socket, path: str) -> None:
    """Bind so that the file never has, not for a moment, more permissions than it shall have."""
    if sys.platform == "linux":
        # The file takes the socket's own mode. The umask would be that of all threads.
        os.fchmod(sock.fileno(), _DEFAULT_MODE)
        sock.bind(path)
    else:
        before = os.umask(0o177)
        try:
            sock.bind(path)
        finally:
            os.umask(before)


def _remove_stale(path: str, address: Address, kind: int) -> None:
    """Remove a socket file that nobody listens on any more; refuse to touch anything else."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise BindError(f"cannot listen on {address}: the path exists and is not a socket")
    with socket.socket(socket.AF_UNIX, kind) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            unlink_same(path, found.st_ino)
            return
        except OSError as error:
            if error.errno not in _TAKEN:
                raise
    raise BindError(f"cannot listen on {address}: another program is listening there")


def _advice(error: OSError, path: str) -> str:
    if error.errno == errno.ENOENT:
        return f"the folder {os.path.dirname(path) or '.'} does not exist"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"not permitted to write in {os.path.dirname(path) or '.'}"
    return error.strerror or str(error)
