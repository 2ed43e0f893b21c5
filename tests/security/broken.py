"""`python -m tests.security.broken`: take each control away, one at a time, in a copy of the code,
and see that its test fails. Ends with 1 if one does not."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
COPIED = ("adapters", "worker", "migrations", "tests", "docs", "deploy", "pyproject.toml")


@dataclass(frozen=True)
class Control:
    """What keeps a threat off: a text in a file, what is there without it, and the tests that must
    fail then, as pytest's arguments."""

    what: str
    file: str
    text: str
    without: str
    tests: tuple[str, ...]


TENANTS = "tests/security/test_tenants.py"
SSRF = "tests/security/test_ssrf.py"
SECRETS = "tests/security/test_secrets.py"
TWILIO = "tests/adapters/test_twilio_receipts.py"
REPORTS = ("tests/worker/test_receipts.py", "-k", "sqlite")
RECEIPTS = "worker/store/receipts.py"

CONTROLS = [
    Control(
        "a key's actions and applications",
        "worker/http/permissions.py",
        "    if not reaches or action not in key.actions:",
        "    if False:",
        (TENANTS, "-k", "GetEndpoint"),
    ),
    Control(
        "a key's applications",
        "worker/http/permissions.py",
        "reaches = operation in _OF_NOBODY or key.covers(application_id)",
        "reaches = True",
        (TENANTS, "-k", "GetEndpoint"),
    ),
    Control(
        "paths with detours",
        "worker/http/guard.py",
        "            _refuse_detours(path)\n",
        "",
        ("tests/http/test_access.py", "-k", "dots"),
    ),
    Control(
        "who may ask",
        "worker/http/guard.py",
        "            _let_in(scope, networks)\n",
        "",
        ("tests/http/test_access.py", "-k", "outside"),
    ),
    Control(
        "a signature's time",
        "worker/http/signature.py",
        "    _check_time(claim, now)\n",
        "",
        ("tests/http/test_signature.py", "-k", "five_minutes"),
    ),
    Control(
        "a signature",
        "worker/http/signature.py",
        "    if not true:",
        "    if False:",
        ("tests/http/test_signature.py", "-k", "one_change"),
    ),
    Control(
        "private addresses",
        "adapters/addresses.py",
        "    if plain or any(inner in network for network in _DENIED):\n        return False",
        "    pass",
        (SSRF, "-k", "walls"),
    ),
    Control(
        "the address of the socket",
        "adapters/signed_post.py",
        "            socket_factory=self._guarded_socket,\n",
        "",
        (SSRF, "-k", "rebound"),
    ),
    Control(
        "a key file's token_uri",
        "adapters/fcm.py",
        "    if not _GOOGLES.match(url) and yarl.URL(url).authority != yarl.URL(base).authority:",
        "    if False:",
        (SSRF, "-k", "key_file"),
    ),
    Control(
        "a stream's name",
        "worker/http/events.py",
        r"(?!\.\.?\Z)",
        "",
        (SSRF, "-k", "streams_name"),
    ),
    Control(
        "control characters in headers of letters",
        "adapters/mime.py",
        "    if _CONTROL.search(text):",
        "    if False:",
        ("tests/adapters/test_mime.py",),
    ),
    Control(
        "a raw letter's Bcc",
        "adapters/mime_raw.py",
        'if name.lower() not in {b"bcc", b"resent-bcc"}',
        "if True",
        ("tests/adapters/test_mime.py",),
    ),
    Control(
        "markup in calls",
        "adapters/twilio_voice.py",
        'saxutils.escape(_UNSPEAKABLE.sub(" ", message.body))',
        '_UNSPEAKABLE.sub(" ", message.body)',
        ("tests/security/test_injection.py", "-k", "markup"),
    ),
    Control(
        "an address in a path",
        "adapters/adm.py",
        'urllib.parse.quote(delivery.address, safe="")',
        "delivery.address",
        ("tests/security/test_injection.py", "-k", "ADM"),
    ),
    Control(
        "the steps of templates",
        "worker/render/handlebars.py",
        "MAX_STEPS = 50_000",
        "MAX_STEPS = 50_000_000",
        ("tests/worker/test_handlebars_bounds.py", "-k", "bombs"),
    ),
    Control(
        "the attempts at a code",
        "worker/store/codes.py",
        ".values(attempts_left=_code.attempts_left - 1)",
        ".values(attempts_left=_code.attempts_left)",
        ("tests/worker/test_otp.py", "-k", "guesses and sqlite"),
    ),
    Control(
        "the place of what is sealed",
        "worker/vault.py",
        "decrypt(data[:_NONCE], data[_NONCE:], place.encode())",
        "decrypt(data[:_NONCE], data[_NONCE:], b'')",
        ("tests/worker/test_vault.py",),
    ),
    Control(
        "a receipt's signature",
        "adapters/twilio_receipts.py",
        "    if not RequestValidator(token).validate(url + message, fields, signature):\n",
        "    if False:\n",
        (TWILIO,),
    ),
    Control(
        "fields that run into each other",
        "adapters/twilio_receipts.py",
        "    if len(fields) != len(pairs) or not _is_plain(fields):\n",
        "    if False:\n",
        (TWILIO,),
    ),
    Control(
        "the digits of an error code",
        "adapters/twilio_receipts.py",
        "    if not _CODE.fullmatch(code):\n",
        "    if False:\n",
        (TWILIO,),
    ),
    Control(
        "the provider that has the message",
        "worker/receipts.py",
        "handed.provider not in {None, provider.name}",
        "False",
        ("tests/http/test_receipts.py", "-k", "provider"),
    ),
    Control(
        "what a receipt may be of",
        RECEIPTS,
        "row.id == message_id, row.attempt > 0",
        "row.id == message_id",
        REPORTS,
    ),
    Control(
        "receipts move forward",
        RECEIPTS,
        "    if (before.reported or 0) >= _rank(said):\n",
        "    if False:\n",
        REPORTS,
    ),
    Control(
        "receipts of another attempt",
        RECEIPTS,
        "        return bool(before.message_id == said.message_id)",
        "        return True",
        REPORTS,
    ),
    Control(
        "receipts of a message that is tried again",
        RECEIPTS,
        " and before.attempt == 1",
        "",
        REPORTS,
    ),
    Control(
        "the repr of settings",
        "worker/settings.py",
        '"***" if name in _SECRET and getattr(self, name) else getattr(self, name)',
        "getattr(self, name)",
        (SECRETS, "-k", "settings"),
    ),
    Control(
        "Twilio's password as it is sent",
        "adapters/twilio_account.py",
        '    return password, base64.b64encode(f"{user}:{password}".encode()).decode()',
        '    return password, ""',
        (SECRETS, "-k", "SMS"),
    ),
    Control(
        "SMTP's password as it is sent",
        "adapters/smtp_options.py",
        "(self.password, *(base64.b64encode(one.encode()).decode() for one in sent))",
        "(self.password,)",
        (SECRETS, "-k", "EMAIL"),
    ),
]


def survives(copy, control):
    """Whether the tests pass without the control."""
    file = copy / control.file
    whole = file.read_text()
    file.write_text(whole.replace(control.text, control.without))
    environment = {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        ran = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *control.tests],
            cwd=copy,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    finally:
        file.write_text(whole)
    if ran.returncode not in {0, 1}:
        raise RuntimeError(ran.stdout + ran.stderr)
    return ran.returncode == 0


def main():
    survivors = 0
    with tempfile.TemporaryDirectory() as directory:
        copy = Path(directory)
        for name in COPIED:
            source = ROOT / name
            (shutil.copytree if source.is_dir() else shutil.copy2)(source, copy / name)
        for control in CONTROLS:
            lives = survives(copy, control)
            survivors += lives
            print(f"{'NOT SEEN' if lives else 'caught':<9} without {control.what}", flush=True)
    print(f"{len(CONTROLS) - survivors} of {len(CONTROLS)} caught")
    return int(survivors > 0)


if __name__ == "__main__":
    sys.exit(main())
