"""Becomes another program, which then dies with the process that asked for it.

Run as `python -I -S launch.py PARENT_PID DEATH_SIGNAL plain|ordinary-user PROGRAM [ARGUMENT …]`; standard library only,
because it stands between a parent and each of its children. It makes its own session, so that a terminal's Ctrl-C
reaches the parent alone. `ordinary-user` is for Postgres, which refuses root and users without a name: such a caller
runs it in a user namespace, where the caller's files belong to one of the machine's ordinary users. Files and their
modes stay as they are.
"""

import ctypes
import errno
import os
import pwd
import sys
from pathlib import Path

CLONE_NEWUSER = 0x10000000
PR_SET_PDEATHSIG = 1
CANNOT_LAUNCH = 125
"""Exit code when the program was not started at all."""


def is_ordinary_user() -> bool:
    """Whether this process is not root's and its user has a name."""
    uid = os.getuid()
    return uid != 0 and any(user.pw_uid == uid for user in pwd.getpwall())


def enter_user_namespace() -> None:
    """Become an ordinary user in a new user namespace; `OSError` where the machine forbids it or has no such user."""
    uid, gid = os.getuid(), os.getgid()
    users = [user for user in pwd.getpwall() if user.pw_uid != 0]
    if not users:
        raise OSError(errno.ENOENT, "and it knows no user but root")
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWUSER) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{users[0].pw_uid} {uid} 1")
    Path("/proc/self/gid_map").write_text(f"{users[0].pw_gid} {gid} 1")


def die_with(parent_pid: int, death_signal: int) -> None:
    """Ask the kernel for `death_signal` when the parent dies; leave at once if it already has."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    if os.getppid() != parent_pid:
        sys.exit(CANNOT_LAUNCH)


def main(arguments: list[str]) -> None:
    """Replace this process by the program; exit 125 with one plain line when that cannot be done."""
    parent_pid, death_signal, identity, *command = arguments
    os.setsid()
    if identity == "ordinary-user" and not is_ordinary_user():
        try:
            enter_user_namespace()
        except OSError as error:
            print(
                f"{Path(command[0]).name} refuses root and users without a name, and this machine forbids the user "
                f"namespace that would help ({error.strerror}). Run this as an ordinary user.",
                file=sys.stderr,
            )
            sys.exit(CANNOT_LAUNCH)
    # Last, because a change of credentials clears it.
    die_with(int(parent_pid), int(death_signal))
    try:
        os.execvp(command[0], command)  # noqa: S606
    except OSError as error:
        print(f"{command[0]} cannot be started: {error.strerror}.", file=sys.stderr)
        sys.exit(CANNOT_LAUNCH)


if __name__ == "__main__":
    main(sys.argv[1:])
