"""API keys at rest: AES-256-GCM under SYNC_SECRET_KEY, bound to the store they belong to.

A sealed key is `version(1) fingerprint(4) nonce(12) ciphertext+tag`. The fingerprint names the
secret key that encrypted it. It distinguishes a wrong secret key from a damaged row, and shows a
rotation which rows still use an old secret key.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import SecretStr

from sync.errors import NeedsOperator
from sync.settings import Settings, secret_bytes
from sync.telemetry.secrets import keep_secret

_VERSION = b"\x01"
_FINGERPRINT_BYTES = 4
_NONCE_BYTES = 12
_HEAD_BYTES = len(_VERSION) + _FINGERPRINT_BYTES + _NONCE_BYTES
_KEY_FILE = "secret_key"


@dataclass(frozen=True, slots=True)
class Key:
    """A secret key of 32 bytes. `repr`, and so logs and tracebacks, show only its fingerprint."""

    _raw: bytes = field(repr=False)
    fingerprint: str = field(init=False, compare=False)  # 8 hex digits, fit to be shown

    def __post_init__(self) -> None:
        if len(self._raw) != 32:
            raise NeedsOperator(f"A secret key has 32 bytes; this one has {len(self._raw)}.")
        keep_secret(base64.urlsafe_b64encode(self._raw).decode("ascii"))
        digest = hashlib.sha256(b"sync.vault fingerprint" + self._raw)
        object.__setattr__(self, "fingerprint", digest.hexdigest()[: 2 * _FINGERPRINT_BYTES])

    @classmethod
    def parse(cls, text: str | SecretStr) -> Key:
        """Parse url-safe base64, the form of SYNC_SECRET_KEY."""
        try:
            return cls(secret_bytes(_plain(text).strip()))
        except ValueError as error:
            raise NeedsOperator(f"The secret key cannot be used: {error}.") from None

    @classmethod
    def generate(cls) -> Key:
        return cls(os.urandom(32))

    def text(self) -> SecretStr:
        """Return url-safe base64, the form of SYNC_SECRET_KEY."""
        return SecretStr(base64.urlsafe_b64encode(self._raw).decode("ascii"))

    def _cipher(self) -> AESGCM:
        return AESGCM(self._raw)


def seal(text: str | SecretStr, *, key: Key, store_id: int | None = None) -> bytes:
    """Encrypt an API key. With `store_id` only that store can decrypt it: no swapping of rows."""
    nonce = os.urandom(_NONCE_BYTES)
    head = _VERSION + bytes.fromhex(key.fingerprint) + nonce
    plain = _plain(text).encode("utf-8")
    return head + key._cipher().encrypt(nonce, plain, head + _bound(store_id))


def unseal(
    sealed: bytes, *, key: Key, old_keys: Iterable[Key] = (), store_id: int | None = None
) -> SecretStr:
    """Decrypt an API key with `key`, or with the one of `old_keys` that encrypted it.

    NeedsOperator when none of the keys fits, or the bytes were changed or belong to another store.
    """
    sealed = bytes(sealed)  # psycopg may hand over a memoryview
    under = sealed_under(sealed)
    for known in (key, *old_keys):
        if known.fingerprint == under:
            break
    else:
        raise NeedsOperator(
            f"The API key was encrypted with another secret key (fingerprint {under}; "
            f"SYNC_SECRET_KEY is {key.fingerprint}). Set SYNC_SECRET_KEY back to that one, or give "
            "the store its API key again: celery -A sync mirror store set NAME --api-key-env VAR"
        )
    head, body = sealed[:_HEAD_BYTES], sealed[_HEAD_BYTES:]
    nonce = head[-_NONCE_BYTES:]
    try:
        plain = known._cipher().decrypt(nonce, body, head + _bound(store_id))
    except InvalidTag:
        raise NeedsOperator(
            "The encrypted API key was changed, or copied from another store. Give the store its "
            "API key again: celery -A sync mirror store set NAME --api-key-env VAR"
        ) from None
    return SecretStr(plain.decode("utf-8"))


def sealed_under(sealed: bytes) -> str:
    """Return the fingerprint of the secret key that encrypted these bytes."""
    sealed = bytes(sealed)
    if sealed[:1] != _VERSION or len(sealed) < _HEAD_BYTES:
        raise NeedsOperator(
            "The encrypted API key is damaged. Give the store its API key again: "
            "celery -A sync mirror store set NAME --api-key-env VAR"
        )
    return sealed[1 : 1 + _FINGERPRINT_BYTES].hex()


def key_of(settings: Settings) -> Key:
    """Return the secret key: SYNC_SECRET_KEY, or the one generated in the data folder.

    `Settings` guarantees that a generated key is used with an embedded database only.
    """
    if settings.secret_key is not None:
        return Key.parse(settings.secret_key)
    return _generated(settings.data_dir / _KEY_FILE)


def _generated(path: Path) -> Key:
    """Read the generated key; the first process creates it."""
    if not path.exists():
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        # Written to another file and linked: a second process sees either no file or a complete
        # one, and never replaces a key that may already have encrypted rows.
        aside = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(Key.generate().text().get_secret_value() + "\n")
                file.flush()
                os.fsync(file.fileno())
            with contextlib.suppress(FileExistsError):
                path.hardlink_to(aside)
        finally:
            aside.unlink()
    return Key.parse(path.read_text(encoding="ascii"))


def _bound(store_id: int | None) -> bytes:
    return b"" if store_id is None else b"store:%d" % store_id


def _plain(text: str | SecretStr) -> str:
    return text.get_secret_value() if isinstance(text, SecretStr) else text
