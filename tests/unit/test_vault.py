"""API keys at rest: only their own key opens them, only for their own store."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from sync.errors import NeedsOperator
from sync.settings import Settings
from sync.vault import Key, key_of, seal, sealed_under, unseal

KEY = Key.generate()


@given(st.text(), st.none() | st.integers(min_value=1))
def test_what_was_sealed_opens_again(text: str, store_id: int | None) -> None:
    sealed = seal(text, key=KEY, store_id=store_id)
    assert unseal(sealed, key=KEY, store_id=store_id).get_secret_value() == text
    assert seal(text, key=KEY, store_id=store_id) != sealed, "the nonce is new each time"


def test_postgres_may_hand_over_a_memoryview() -> None:
    assert unseal(memoryview(seal("k", key=KEY)), key=KEY) == SecretStr("k")  # type: ignore[arg-type]


def test_another_key_is_named_in_words() -> None:
    """The operator sees which key is wanted and which one is set; both by fingerprint."""
    other = Key.generate()
    with pytest.raises(NeedsOperator) as caught:
        unseal(seal("hidden", key=KEY), key=other)
    assert KEY.fingerprint in str(caught.value)
    assert other.fingerprint in str(caught.value)
    assert "store set" in str(caught.value)


def test_old_keys_still_open_and_a_rotation_sees_which_rows_are_left() -> None:
    new = Key.generate()
    sealed = seal("api-key", key=KEY, store_id=7)
    opened = unseal(sealed, key=new, old_keys=[Key.generate(), KEY], store_id=7)
    resealed = seal(opened, key=new, store_id=7)
    assert sealed_under(sealed) == KEY.fingerprint
    assert sealed_under(resealed) == new.fingerprint
    assert unseal(resealed, key=new, store_id=7).get_secret_value() == "api-key"


@pytest.mark.parametrize("store_id", [None, 2])
def test_a_sealed_key_copied_to_another_store_does_not_open(store_id: int | None) -> None:
    with pytest.raises(NeedsOperator, match="copied from another store"):
        unseal(seal("hidden", key=KEY, store_id=1), key=KEY, store_id=store_id)


@given(st.integers(min_value=0), st.integers(min_value=1, max_value=255))
def test_a_changed_byte_anywhere_is_noticed(place: int, change: int) -> None:
    sealed = bytearray(seal("hidden", key=KEY, store_id=1))
    sealed[place % len(sealed)] ^= change
    with pytest.raises(NeedsOperator):
        unseal(bytes(sealed), key=KEY, store_id=1)


@given(st.binary(max_size=80))
def test_any_other_bytes_are_refused_in_words(junk: bytes) -> None:
    with pytest.raises(NeedsOperator):
        unseal(junk, key=KEY)


def test_nothing_secret_is_shown() -> None:
    text = KEY.text().get_secret_value()
    assert KEY.fingerprint in repr(KEY)
    opened = unseal(seal("hid", key=KEY), key=KEY)
    for shown in (repr(KEY), str(KEY), repr(KEY.text()), repr(opened)):
        assert text not in shown
        assert "hid" not in shown
        assert KEY._raw.hex() not in shown
    assert b"hidden" not in seal("hidden", key=KEY)


@pytest.mark.parametrize("text", ["", "x", "A" * 40, "é", "A" * 44])
def test_a_wrong_key_is_refused_without_showing_it(text: str) -> None:
    with pytest.raises(NeedsOperator) as caught:
        Key.parse(text)
    assert str(caught.value).startswith("The secret key cannot be used: it ")
    assert len(text) < 2 or text not in str(caught.value)


def test_the_set_key_is_used() -> None:
    settings = Settings.from_env({"SYNC_SECRET_KEY": KEY.text().get_secret_value()})
    assert key_of(settings) == KEY


def test_the_embedded_default_keeps_a_generated_key(tmp_path: Path) -> None:
    """Made once, readable by its owner alone, the same ever after."""
    settings = Settings(data_dir=tmp_path / "data")
    first = key_of(settings)
    file = tmp_path / "data" / "secret_key"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert key_of(settings) == first
    assert [path.name for path in file.parent.iterdir()] == ["secret_key"]


def test_many_first_users_agree_on_one_generated_key(tmp_path: Path) -> None:
    """Worker and beat start together; neither may seal with a key that is then replaced."""
    settings = Settings(data_dir=tmp_path / "data")
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(lambda _: key_of(settings).fingerprint, range(40)))
    assert len(keys) == 1
