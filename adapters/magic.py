"""Magic recipients: words and numbers in an address that say what is to become of a message.

The sandbox plays them, and the doubles of `adapters.doubles.stand` over the providers' own
protocols. A word may be anywhere in an address of any channel (`-` and `_` are the same, case does
not matter). For phone numbers there is a number for each; they are fictional, so that none can ever
ring at anybody's. Every other address is SUCCESSFUL.

| word in the address       | number         | what comes of it |
| ------------------------- | -------------- | ---------------- |
|                           | `+15550100200` | SUCCESSFUL, like any other address |
| `updated-token`           | `+15550100301` | SUCCESSFUL, and the address is to be replaced |
| `permanent-failure`       | `+15550100400` | PERMANENT_FAILURE 400 |
| `duplicate`               | `+15550100409` | DUPLICATE 400 |
| `dead-token`              | `+15550100410` | PERMANENT_FAILURE 410, the address is dead |
| `throttled`               | `+15550100429` | THROTTLED 429 once, then SUCCESSFUL |
| `throttled-always`        | `+15550100430` | THROTTLED 429 every time |
| `opt-out`                 | `+15550100451` | OPT_OUT 400 |
| `unknown-failure`         | `+15550100500` | UNKNOWN_FAILURE 504, the connection broke |
| `temporary-failure-once`  | `+15550100501` | TEMPORARY_FAILURE 503 once, then SUCCESSFUL |
| `temporary-failure-twice` | `+15550100502` | TEMPORARY_FAILURE 503 twice, then SUCCESSFUL |
| `temporary-failure`       | `+15550100503` | TEMPORARY_FAILURE 503 at every attempt |
| `timeout`                 | `+15550100504` | TIMEOUT 504, no answer came in time |

A device token of Apple's is hexadecimal: there the word counts that its bytes spell, so
`646561642d746f6b656e` is `dead-token`. The numbers of AWS's SMS simulator (`AWS_SIMULATOR`)
work as well.

The table says what one attempt comes to in the sandbox; retries, and what follows where no answer
came, are the worker's policy.
"""

from __future__ import annotations

import re

from adapters.contract import ChannelType

WORDS = (
    "updated-token",
    "permanent-failure",
    "duplicate",
    "dead-token",
    "throttled",
    "throttled-always",
    "opt-out",
    "unknown-failure",
    "temporary-failure-once",
    "temporary-failure-twice",
    "temporary-failure",
    "timeout",
)
AWS_SIMULATOR = {  # country: (a number that succeeds, a number that fails)
    "AT": ("+43676800442031", "+43676800442032"),
    "AU": ("+61455944038", "+61455944039"),
    "BE": ("+32460213922", "+32460213923"),
    "CH": ("+41798075872", "+41798075874"),
    "CL": ("+56229140630", "+56229140631"),
    "CZ": ("+420790542286", "+420790542287"),
    "DK": ("+4525919410", "+4525919215"),
    "EE": ("+37282720792", "+37282720793"),
    "ES": ("+34683783440", "+34683783442"),
    "FI": ("+3584573979110", "+3584573979111"),
    "FR": ("+33755512501", "+33755512502"),
    "GB": ("+447860019066", "+447860019067"),
    "HK": ("+85257048426", "+85257048854"),
    "HU": ("+36707178770", "+36707178772"),
    "IT": ("+394390009172", "+394390009174"),
    "JE": ("+447937404990", "+447937404992"),
    "LU": ("+352691385880", "+352691385882"),
    "NL": ("+3197008100148", "+3197008100150"),
    "NO": ("+4759449384", "+4759449387"),
    "PL": ("+48732141440", "+48732141442"),
    "PT": ("+351927946948", "+351927946950"),
    "RO": ("+40783900330", "+40783900332"),
    "SE": ("+46790645100", "+46790645102"),
    "TW": ("+886903444630", "+886903444632"),
    "US": ("+14254147755", "+14254147167"),
}

# The longest word first: `throttled-always` also holds `throttled`.
_MAGIC = re.compile(
    "(?<![a-z0-9])(?:"
    + "|".join(sorted(WORDS, key=len, reverse=True)).replace("-", "[-_]")
    + ")(?![a-z0-9])",
    re.IGNORECASE,
)
_NEW = "current-token"
_NUMBER_THAT_SUCCEEDS = "+15550100200"
_NUMBERS = {
    "+15550100301": "updated-token",
    "+15550100400": "permanent-failure",
    "+15550100409": "duplicate",
    "+15550100410": "dead-token",
    "+15550100429": "throttled",
    "+15550100430": "throttled-always",
    "+15550100451": "opt-out",
    "+15550100500": "unknown-failure",
    "+15550100501": "temporary-failure-once",
    "+15550100502": "temporary-failure-twice",
    "+15550100503": "temporary-failure",
    "+15550100504": "timeout",
    **{failing: "permanent-failure" for _, failing in AWS_SIMULATOR.values()},
}
_TELEPHONES = frozenset({ChannelType.SMS, ChannelType.VOICE})
_HEX = re.compile(r"(?:[0-9A-Fa-f]{2})+")


def word(channel: str, address: str) -> str:
    """The word that says how a message to the address ends; empty for most addresses."""
    if channel in _TELEPHONES:
        number = "+" + re.sub(r"\D", "", address)
        if number in _NUMBERS:
            return _NUMBERS[number]
    found = _MAGIC.search(_spelt(channel, address) or address)
    return found[0].lower().replace("_", "-") if found else ""


def renewed(channel: str, address: str) -> str:
    """An address to use from now on in place of a magic one, and not magic itself."""
    spelt = _spelt(channel, address)
    if spelt is not None:
        return _MAGIC.sub(_NEW, spelt, count=1).encode().hex()
    new, words = _MAGIC.subn(_NEW, address, count=1)
    return new if words else _NUMBER_THAT_SUCCEEDS


def _spelt(channel: str, address: str) -> str | None:
    """The text that a device token of Apple's is the bytes of, or None if it is not such a one."""
    if not channel.startswith(ChannelType.APNS) or not _HEX.fullmatch(address):
        return None
    try:
        return bytes.fromhex(address).decode("ascii")
    except UnicodeDecodeError:
        return None
