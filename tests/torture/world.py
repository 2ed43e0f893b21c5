"""The world outside, in a process of its own: doubles of the providers behind proxies, a proxy
before Redis, and the ledger that the doubles write. `World` is the handle on it.

The process reads one command a line, as JSON, and answers each with a line.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import random
import re
import select
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TextIO

import uvloop

from adapters import magic
from adapters.contract import ChannelType
from adapters.doubles import fcm, plays, smtp, twilio, webhook
from adapters.doubles.stand import NUMBER, apple
from tests.torture.ledgers import Receipt
from tests.torture.proxy import Mode, Proxy
from tests.torture.testimony import as_line

CHANNELS = ("EMAIL", "GCM", "APNS", "SMS", "CUSTOM")
GARBAGE, SLOW = "garbage", "slow"
"""Weather beside the words of `adapters.magic`: bytes that are no answer, and one that is late."""

_RUBBISH = b"\x00\xff\x15 none of any protocol \r\n\r\n"
_SLOW_SECONDS = 1.0
_ANSWERS_WITHIN = 60.0  # seconds
_MESSAGE_ID = re.compile(rb"^Message-ID:\s*<([^@>]*)@[^>]*>", re.IGNORECASE | re.MULTILINE)


class Sky:
    """What providers do to which request: by a magic word in the address, else by the weather,
    which is drawn anew for each attempt but the same for the same seed."""

    def __init__(self) -> None:
        self.seed = 0
        self.odds: Mapping[str, Mapping[str, float]] = {}
        self._asked: Counter[str] = Counter()

    def clear(self, seed: int) -> None:
        self.seed, self.odds = seed, {}
        self._asked.clear()

    def word(self, channel: str, address: str) -> str:
        self._asked[address] += 1
        attempt = self._asked[address]
        word = magic.word(channel, address)
        if word:
            once = word.endswith("-once") or word == "throttled"
            return "" if once and attempt > 1 else word
        drawn = random.Random(f"{self.seed}/{address}/{attempt}").random()
        for word, odds in self.odds.get(channel, {}).items():
            drawn -= odds
            if drawn < 0:
                return word
        return ""


class Clerk:
    """Writes the ledger: a line for each message that a double has read."""

    def __init__(self, sky: Sky) -> None:
        self._sky = sky
        self._file: TextIO | None = None
        self.written = 0

    def open(self, path: str) -> None:
        if self._file is not None:
            self._file.close()
        self._file = Path(path).open("a", buffering=1)  # noqa: SIM115 - for as long as it lives

    def standing(
        self,
        channel: ChannelType,
        ends: plays.Ends,
        read: Callable[[], str | None],
        identify: Callable[[str, Any], tuple[str | None, str | None]],
        takes: Callable[[Any], bool] = lambda said: said.raw is None and (said.status or 200) < 300,
    ) -> Callable[[str], Any]:
        """What a double asks what to do with a request for an address. `read` is our id in the
        request as it is known by then, `identify` what is known once it is answered: our id and
        the provider's. `takes` says whether it has the message, however it answers."""

        def answer(address: str) -> Any:
            if channel is ChannelType.SMS and address == "list":
                return ends.accepted
            word, at, ours = self._sky.word(channel, address), time.time(), read()

            def told(said: Any) -> None:
                accepted = takes(said)
                known, provider_id = identify(address, said) if accepted else (None, None)
                self.write(
                    Receipt(
                        channel=channel,
                        address=address,
                        at=at,
                        accepted=accepted,
                        message_id=ours or known,
                        provider_id=provider_id,
                    )
                )

            return dataclasses.replace(self._answer(ends, word), told=told)

        return answer

    def _answer(self, ends: plays.Ends, word: str) -> Any:
        if word == GARBAGE:
            return dataclasses.replace(ends.accepted, raw=_RUBBISH)
        if word == SLOW:
            after = asyncio.Event()
            asyncio.get_running_loop().call_later(_SLOW_SECONDS, after.set)
            return dataclasses.replace(ends.accepted, after=after)
        return ends.of(word)

    def write(self, receipt: Receipt) -> None:
        self.written += 1
        if self._file is not None:
            self._file.write(as_line(receipt))


class Stage:
    """The doubles and the proxies before them, by channel; `redis` is one, too."""

    def __init__(self, stack: AsyncExitStack, redis_port: int) -> None:
        self.sky = Sky()
        self.clerk = Clerk(self.sky)
        self.proxies: dict[str, Proxy] = {}
        self.channels: dict[str, dict[str, Any]] = {}
        self._stack = stack
        self._redis_port = redis_port
        self._forget: list[Callable[[], None]] = []

    async def start(self) -> None:
        if self._redis_port:
            await self._proxy("redis", self._redis_port)
        for opened in (self._email, self._gcm, self._apns, self._sms, self._custom):
            await opened()

    def clear(self, seed: int, path: str) -> None:
        """A new run: fair weather, working proxies, a ledger of its own."""
        self.clerk.open(path)
        self.sky.clear(seed)
        for forget in self._forget:
            forget()
        for proxy in self.proxies.values():
            proxy.mode, proxy.delay, proxy.cut_after = Mode.OK, 0.0, None

    async def _proxy(self, name: str, port: int) -> int:
        proxy = self.proxies[name] = Proxy(port)
        await proxy.start()
        return proxy.port

    async def _http(self, name: str, double: Any) -> str:
        await self._stack.enter_async_context(double)
        return f"http://127.0.0.1:{await self._proxy(name, int(double.url.rpartition(':')[2]))}"

    async def _email(self) -> None:
        double = smtp.SmtpDouble()

        def identify(_: str, __: Any) -> tuple[str | None, str | None]:
            found = _MESSAGE_ID.search(double.taken[-1].content)
            ours = found[1].decode() if found else None
            return ours, f"{ours}@example.com"

        double.script.standing = self.clerk.standing(
            ChannelType.EMAIL, plays.EMAIL, lambda: None, identify
        )
        await self._stack.enter_async_context(double)
        self._forget.append(double.taken.clear)
        settings = {
            "host": "127.0.0.1",
            "port": await self._proxy("EMAIL", double.port),
            "security": "none",
            "username": smtp.USERNAME,
            "password": smtp.PASSWORD,
            "from_address": "sendpoint@example.com",
        }
        self.channels["EMAIL"] = {"adapter": "smtp", "settings": settings}

    async def _gcm(self) -> None:
        double = fcm.FcmDouble()
        double.script.standing = self.clerk.standing(
            ChannelType.GCM, plays.FCM, lambda: None, lambda _, said: (None, said.body["name"])
        )
        url = await self._http("GCM", double)
        self._forget.append(double.messages.clear)
        account = double.service_account | {"token_uri": f"{url}/token"}
        self.channels["GCM"] = {
            "adapter": "fcm",
            "settings": {"service_account": account, "base_url": url},
        }

    async def _apns(self) -> None:
        double, settings = apple()

        def identify(token: str, _: Any) -> tuple[str | None, str | None]:
            for request in reversed(double.requests):
                if request.token == token:
                    return request.headers.get("apns-id"), request.headers.get("apns-id")
            return None, None

        double.standing = self.clerk.standing(ChannelType.APNS, plays.APNS, lambda: None, identify)
        await self._stack.enter_async_context(double)
        self._forget.append(double.requests.clear)
        port = await self._proxy("APNS", double.port)
        self.channels["APNS"] = {"adapter": "apns", "settings": {**settings, "port": port}}

    async def _sms(self) -> None:
        double = twilio.TwilioDouble()

        def read() -> str | None:
            return double.requests[-1][2].get("StatusCallback", "").rpartition("=")[2] or None

        def identify(number: str, _: Any) -> tuple[str | None, str | None]:
            taken = reversed(double.taken["Messages"])
            return None, next(one["sid"] for one in taken if one["to"] == number)

        def takes(said: Any) -> bool:
            # What it has it lists from then on, even if its answer was rubbish.
            return said.status in {None, 201}

        double.script.standing = self.clerk.standing(
            ChannelType.SMS, plays.SMS, read, identify, takes
        )
        settings = {
            "account_sid": twilio.ACCOUNT_SID,
            "auth_token": twilio.AUTH_TOKEN,
            "origination_number": NUMBER,
            "base_url": await self._http("SMS", double),
            "status_callback": "https://sendpoint.example.com/receipts/",
        }
        self._forget += [double.requests.clear, double.taken["Messages"].clear]
        self.channels["SMS"] = {"adapter": "twilio-sms", "settings": settings}

    async def _custom(self) -> None:
        double = webhook.WebhookDouble()

        def read() -> str | None:
            return double.events[-1].get("MessageId")

        double.script.standing = self.clerk.standing(
            ChannelType.CUSTOM, plays.CUSTOM, read, lambda _, __: (None, None)
        )
        url = await self._http("CUSTOM", double)
        self._forget.append(double.events.clear)
        settings = {"url": url, "secret": webhook.SECRET, "allow_private": ["127.0.0.1/32"]}
        self.channels["CUSTOM"] = {"adapter": "webhook", "settings": settings}

    def obey(self, command: Mapping[str, Any]) -> Any:
        """Do what a line says; what it is answered."""
        match command["do"]:
            case "begin":
                self.clear(command["seed"], command["ledger"])
            case "weather":
                self.sky.odds = command["odds"]
            case "proxy":
                proxy = self.proxies[command["name"]]
                proxy.mode = Mode(command.get("mode", proxy.mode))
                proxy.delay = command.get("delay", proxy.delay)
                proxy.cut_after = command.get("cut_after", proxy.cut_after)
                if command.get("reset"):
                    proxy.reset()
            case "written":
                return self.clerk.written
        return "done"


class World:
    """The handle: starts the process, and commands it."""

    def __init__(self, *, redis_port: int = 0, log: Path) -> None:
        with log.open("ab") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.torture.world", str(redis_port)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,
            )
        said = self._read()
        self.channels: Mapping[str, Mapping[str, Any]] = said["channels"]
        self.ports: Mapping[str, int] = said["ports"]

    def begin(self, *, seed: int, ledger: Path) -> None:
        """A new run with a ledger of its own."""
        self._do({"do": "begin", "seed": seed, "ledger": str(ledger)})

    def weather(self, odds: Mapping[str, Mapping[str, float]]) -> None:
        """From now on, how often which word comes true, by channel; {} is fair weather."""
        self._do({"do": "weather", "odds": odds})

    def proxy(self, name: str, **change: Any) -> None:
        """Change what a proxy does: `mode`, `delay` in seconds, `cut_after` bytes, `reset`."""
        self._do({"do": "proxy", "name": name, **change})

    def written(self) -> int:
        """How many lines were ever written to ledgers."""
        return int(self._do({"do": "written"}))

    def close(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()

    def _do(self, command: Mapping[str, Any]) -> Any:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        return self._read()

    def _read(self) -> Any:
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], _ANSWERS_WITHIN)
        line = self.process.stdout.readline() if ready else ""
        if not line:
            raise RuntimeError("the process of the doubles has ended or hangs")
        return json.loads(line)


async def _main(redis_port: int) -> None:
    async with AsyncExitStack() as stack:
        held = Stage(stack, redis_port)
        await held.start()
        ports = {name: proxy.port for name, proxy in held.proxies.items()}
        _say({"channels": held.channels, "ports": ports})
        lines = asyncio.StreamReader(limit=2**20)
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(lines), sys.stdin
        )
        while line := await lines.readline():
            _say(held.obey(json.loads(line)))


def _say(words: Any) -> None:
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    uvloop.run(_main(int(sys.argv[1])))
