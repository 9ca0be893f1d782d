"""What operators do with keys."""

from wepeople_auth.keys.hashing import Hashing
from wepeople_auth.keys.revocation import Revocations
from wepeople_auth.keys.store import KeyStore
from wepeople_auth.names import checked_name
from wepeople_auth.refusals import not_found, unavailable
from wepeople_contracts.ids import key_public_id, new_key
from wepeople_contracts.operators import CreateKey, Key, KeyList, ListKeys, NewKey, RevokeKey


class KeyCommands:
    """Issues, lists and revokes keys."""

    def __init__(self, store: KeyStore, hashing: Hashing, revocations: Revocations) -> None:
        self._store = store
        self._hashing = hashing
        self._revocations = revocations

    async def create(self, command: CreateKey) -> NewKey:
        """Issue a key; the token leaves auth here and is kept nowhere.

        Refused while the org's founding or the app's creation is not in the stream: no event may precede them.
        """
        name = checked_name(command.name, "key's name")
        await self._require_ready(command.app_id)
        token = new_key()
        key_id = key_public_id(token)
        assert key_id is not None
        key = await self._store.insert(
            key_id=key_id,
            app_id=command.app_id,
            name=name,
            hashed=await self._hashing.hash(token),
            requests_per_second=command.requests_per_second,
        )
        return NewKey(key=key, token=token)

    async def list_of(self, question: ListKeys) -> KeyList:
        """An app's keys; `not_found` for an unknown app."""
        keys = await self._store.list_of(question.app_id)
        if not keys and await self._store.app_waits_for_stream(question.app_id) is None:
            raise _unknown_app(question.app_id)
        return KeyList(keys=keys)

    async def revoke(self, command: RevokeKey) -> Key:
        """Revoke a key for good, and say so to everybody; revoking it again only repeats the broadcast."""
        key = await self._store.revoke(command.key_id)
        if key is None:
            raise not_found(f"There is no key {command.key_id!r}. `wepeople key list APP` shows an app's keys.")
        await self._revocations.announce(key.key_id)
        return key

    async def _require_ready(self, app_id: str) -> None:
        waits = await self._store.app_waits_for_stream(app_id)
        if waits is None:
            raise _unknown_app(app_id)
        if waits:
            raise unavailable(
                f"The creation of app {app_id} or its org is not in the stream yet. "
                "It goes in by itself once JetStream answers; then issue the key again."
            )


def _unknown_app(app_id: str) -> Exception:
    return not_found(f"There is no app {app_id!r}. `wepeople app list ORG` shows an org's apps.")
