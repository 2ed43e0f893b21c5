"""Sealing: what opens, what does not, and where the keys come from."""

import stat

import pytest

from worker import vault


def test_what_is_sealed_opens_in_its_place_and_nowhere_else():
    box = vault.Vault(vault.parse(vault.new_key()))
    sealed = box.seal(b"hunter2", place="here")
    assert box.open(sealed, place="here") == b"hunter2"
    assert box.seal(b"hunter2", place="here") != sealed
    for place, text in (("there", sealed), ("here", sealed[:-6] + "AAAA==")):
        with pytest.raises(ValueError, match=place):
            box.open(text, place=place)


@pytest.mark.parametrize("text", ["plain", "v0.k.AAAA", "v1.other.AAAA"])
def test_what_was_not_sealed_here_is_named(text):
    box = vault.Vault(vault.parse(vault.new_key()))
    with pytest.raises(ValueError, match="here: "):
        box.open(text, place="here")


@pytest.mark.parametrize("text", ["nonsense", "k:short", "k k:" + "A" * 44, "k:" + "A" * 43])
def test_a_key_that_cannot_be_read_is_refused_and_not_shown(text):
    with pytest.raises(ValueError, match="secret_keys must be") as caught:
        vault.parse(text)
    assert text not in str(caught.value)


def test_no_key_says_what_to_do():
    with pytest.raises(ValueError, match="SENDPOINT_SECRET_KEYS"):
        vault.Vault().seal(b"x", place="here")


def test_a_file_of_keys_is_made_for_its_owner_when_it_is_needed(tmp_path):
    file = tmp_path / "new" / "secret.keys"
    reader, writer = vault.Vault(file=file), vault.Vault(file=file)
    assert not file.exists()
    sealed = writer.seal(b"x", place="here")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert reader.open(sealed, place="here") == b"x"


def test_a_file_that_cannot_be_made_says_what_to_do(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="SENDPOINT_SECRET_KEYS"):
        vault.Vault(file=tmp_path / "file" / "keys").seal(b"x", place="here")


def test_a_mac_is_known_again_in_its_place_by_whoever_has_the_key():
    old, new = vault.parse(f"{vault.new_key()},{vault.new_key()}")
    told = vault.Vault([old]).mac(b"123456", place="here")
    assert "123456" not in told
    assert vault.Vault([new]).mac(b"123456", place="here") != told
    both = vault.Vault([new, old])
    assert both.is_mac(told, b"123456", place="here")
    assert not both.is_mac(told, b"123457", place="here")
    assert not both.is_mac(told, b"123456", place="there")
    with pytest.raises(ValueError, match=f"here: .* key '{old.name}', which is not known here"):
        vault.Vault([new]).is_mac(told, b"123456", place="here")


def test_keys_do_not_show_themselves():
    text = vault.new_key()
    (key,) = vault.parse(text)
    assert text.split(":")[1] not in repr(key)
