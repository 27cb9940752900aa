"""Whether what lies on disk can only be the user's own work: it is unpickled, and compiled code is run.

A folder or file is trusted if it belongs to the user, nobody else can write it, and it is no symbolic link. That is
worth something only if nobody else can put another one in its place, so the folders above are looked at too, less
strictly: they may belong to the system, and links of the user's or the system's are followed. Where there are no
owners (Windows) everything is trusted.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from circuitdsl.frozen import frozen

if TYPE_CHECKING:
    from typing import Self

#: The system's own, and the one that stands in a container for all that it does not know, such as the system's outside.
SYSTEM, UNKNOWN = 0, 65534
#: More links than any way has: it goes round.
MOST_LINKS = 40


@frozen
class User:
    """Who asks: a user and the user's own group."""

    user: int
    group: int

    @classmethod
    def present(cls) -> Self | None:
        """The user of this process; None where there are no owners."""
        return cls(os.getuid(), os.getgid()) if hasattr(os, "getuid") else None


def flaw(found: os.stat_result, user: User) -> str | None:
    """What is wrong with a folder or file, as `lstat` found it; None if only this user can have written it."""
    if stat.S_ISLNK(found.st_mode):
        return "is a symbolic link"
    if found.st_uid != user.user:
        return f"belongs to another user (number {found.st_uid})"
    if found.st_mode & 0o022:
        return f"can be written by others (mode {stat.S_IMODE(found.st_mode):o})"
    return None


def flaw_above(found: os.stat_result, user: User) -> str | None:
    """What is wrong with a folder, or a link that is followed, above one that is to be trusted; None if no other user
    can put something else in the place of what is in it."""
    if found.st_uid not in (user.user, SYSTEM, UNKNOWN):
        return f"belongs to another user (number {found.st_uid})"
    if stat.S_ISLNK(found.st_mode) or found.st_mode & stat.S_ISVTX:
        return None  # in a sticky folder everybody renames and deletes their own only
    by_others = found.st_mode & stat.S_IWOTH
    by_group = found.st_mode & stat.S_IWGRP and found.st_gid not in (user.group, SYSTEM)
    if by_others or by_group:
        return f"lets others replace what is in it (mode {stat.S_IMODE(found.st_mode):o})"
    return None


@frozen
class Distrust:
    """What is not to be trusted, and why: "belongs to another user (number 1001)"; `own`: whether it is the user's."""

    path: Path
    why: str
    own: bool = False

    def __str__(self) -> str:
        return f"`{self.path}` {self.why}"


def distrust(folder: Path) -> Distrust | None:
    """Why what is in a folder may be another's work, or None. A folder that is not there is as good as those above."""
    user = User.present()
    if user is None:
        return None
    for above, found in _way_to(folder):
        if why := flaw_above(found, user):
            return Distrust(above, why)
    return _own(folder, user)


def distrust_below(base: Path, within: Path) -> Distrust | None:
    """The same for what stands on the way from `base` (not looked at again) to `base / within`, that one included."""
    user = User.present()
    if user is None:
        return None
    here = base
    for part in within.parts:
        here = here / part
        if found := _own(here, user):
            return found
    return None


def make_folder(folder: Path) -> None:
    """Makes a folder and those above it that are missing, for the user alone. Raises OSError."""
    missing = [above for above in (folder, *folder.parents) if not above.exists()]
    for each in reversed(missing):
        each.mkdir(mode=0o700, exist_ok=True)


def _own(path: Path, user: User) -> Distrust | None:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None  # or another process of the user's has just renamed it
    why = flaw(found, user)
    return None if why is None else Distrust(path, why, own=found.st_uid == user.user)


def _way_to(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """The folders and links that are passed on the way to a folder, as `lstat` finds them, from the root on; those that
    are not there yet are left out. Raises OSError if the way goes round."""
    waiting = list(reversed(folder.absolute().parts))[:-1]
    here = Path(folder.absolute().anchor)
    links = 0
    yield here, here.lstat()
    while len(waiting) > 1:
        part = waiting.pop()
        if part == os.pardir:
            here = here.parent
            continue
        path = here / part
        try:
            found = path.lstat()
        except FileNotFoundError:
            return
        yield path, found
        if not stat.S_ISLNK(found.st_mode):
            here = path
            continue
        links += 1
        if links > MOST_LINKS:
            raise OSError(f"`{folder}`: too many symbolic links")
        target = path.readlink()
        if target.is_absolute():
            here = Path(target.anchor)
        waiting += [p for p in reversed(target.parts) if p != target.anchor]
