"""Whether Postgres already has a password, asked without setting it: what the server keeps is a SCRAM verifier."""

import base64
import hashlib
import hmac
import re

_VERIFIER = re.compile(r"SCRAM-SHA-256\$(?P<iterations>\d+):(?P<salt>[^$]+)\$(?P<stored_key>[^:]+):.+")


def is_verifier_of(verifier: str | None, password: str) -> bool:
    """Whether the verifier (`pg_authid.rolpassword`, RFC 5803) was made of this password; False when in doubt."""
    match = _VERIFIER.fullmatch(verifier or "")
    if match is None:
        return False
    salt = base64.b64decode(match["salt"])
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, int(match["iterations"]))
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    return hmac.compare_digest(hashlib.sha256(client_key).digest(), base64.b64decode(match["stored_key"]))
