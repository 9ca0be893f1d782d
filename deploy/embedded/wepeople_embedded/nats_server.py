"""A real nats-server with JetStream, on the loopback, its data in a directory."""

import asyncio
import json
import time
from pathlib import Path

from nats.errors import Error as NatsError

from wepeople_chassis.broker import NatsAddress, connect
from wepeople_embedded.binaries import nats_server
from wepeople_embedded.child import Child, ChildFailed

MAX_PAYLOAD_BYTES = 12 * 1024 * 1024
MAX_PENDING_BYTES = 128 * 1024 * 1024
_START_SECONDS = 60.0
_POLL_SECONDS = 0.03


class NatsServer:
    """Its configuration is written into `directory` at each start; `url` is the same across restarts.

    `access` is what the configuration says of users (nothing: everybody may do everything) and whatever else goes to
    its end, and `seed` that of one who may ask how JetStream is. `name` is the server's own, which differs within a
    cluster.
    """

    def __init__(
        self,
        directory: Path,
        *,
        port: int,
        log_path: Path,
        access: str = "",
        seed: str | None = None,
        name: str = "wepeople",
    ) -> None:
        self._directory = directory
        self._config_file = directory / "nats-server.conf"
        self.port = port
        self.url = f"nats://127.0.0.1:{port}"
        self._access = access
        self._name = name
        self._address = NatsAddress(self.url, seed)
        self.child = Child("nats", [nats_server(), "--config", self._config_file], log_path=log_path)

    async def start(self) -> None:
        """Start it and return once JetStream answers; `ChildFailed` when it does not."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._config_file.write_text(configuration(self._directory / "jetstream", self.port, self._name) + self._access)
        self.child.spawn()
        deadline = time.monotonic() + _START_SECONDS
        while not await self._answers():
            if not self.child.is_running:
                raise ChildFailed(self.child, f"ended with code {self.child.exit_code} while starting")
            if time.monotonic() > deadline:
                raise ChildFailed(self.child, f"did not answer within {_START_SECONDS:.0f} s")
            await asyncio.sleep(_POLL_SECONDS)

    async def stop(self, timeout_seconds: float = 5.0) -> None:
        """Stop it in order."""
        await self.child.stop(timeout_seconds)

    async def kill(self) -> None:
        """End it with SIGKILL."""
        await self.child.kill()

    async def _answers(self) -> bool:
        try:
            # The port first: nats-py reports a refused connection through its error logger.
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
            writer.close()
            connection = await connect(
                self._address,
                "wepeople-up",
                allow_reconnect=False,
                connect_timeout=1,
                disconnected_cb=None,
                closed_cb=None,
            )
        except (NatsError, OSError, TimeoutError):
            return False
        try:
            reply = await connection.request("$JS.API.INFO", b"", timeout=1)
            return "error" not in json.loads(reply.data)
        except (NatsError, TimeoutError):
            return False
        finally:
            await connection.close()


def configuration(store: Path, port: int, name: str) -> str:
    """The text of nats-server.conf; JSON strings are valid in it.

    `sync_interval: always`, because 202 means that the message is on disk; its default is two minutes.
    """
    return f"""\
server_name: {name}
host: 127.0.0.1
port: {port}
max_payload: {MAX_PAYLOAD_BYTES}
max_pending: {MAX_PENDING_BYTES}
jetstream {{
  store_dir: {json.dumps(str(store), ensure_ascii=False)}
  sync_interval: always
}}
"""
