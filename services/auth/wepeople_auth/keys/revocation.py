"""How a revocation reaches everybody who caches the key."""

from nats.aio.client import Client

from wepeople_auth.keys.states import KeyStates
from wepeople_auth.refusals import unavailable
from wepeople_chassis.broker import BROKER_DOWN
from wepeople_contracts.auth import KeyRevoked
from wepeople_contracts.subjects import KEY_REVOKED


class Revocations:
    """Tells and is told of revoked keys; every process that caches keys listens."""

    def __init__(self, connection: Client, states: KeyStates) -> None:
        self._connection = connection
        self._states = states

    async def announce(self, key_id: str) -> None:
        """Forget the key here, and broadcast that it is revoked; call it after the commit.

        `unavailable` when NATS does not confirm: the key is revoked, but caches may serve it for up to a minute.
        """
        self._states.forget(key_id)
        try:
            await self._connection.publish(KEY_REVOKED, KeyRevoked(key_id=key_id).model_dump_json().encode())
            await self._connection.flush(timeout=2)
        except BROKER_DOWN as error:
            raise unavailable(
                f"Key {key_id} is revoked, but the broadcast failed, so that it may work for up to 60 seconds more. "
                "Revoke it once more to repeat the broadcast."
            ) from error

    def hear(self, fact: KeyRevoked) -> None:
        """Somebody revoked a key."""
        self._states.forget(fact.key_id)
