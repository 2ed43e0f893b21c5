"""When an access token is fetched, told with a clock that stands still."""

from __future__ import annotations

import asyncio

from adapters import oauth
from adapters.contract import Fault, permanent

REFUSED = permanent(400, "invalid_grant", fault=Fault.CREDENTIALS)


class Account:
    """Hands out `token-1`, `token-2` …, or what `answers` holds first, when `open` is set."""

    def __init__(self, *answers, lifetime=3600.0):
        self.now = 1000.0
        self.asked = 0
        self.open = asyncio.Event()
        self.open.set()
        self._answers = list(answers)
        self._lifetime = lifetime
        self.tokens = oauth.Tokens(self._fetch, ahead=300.0, clock=lambda: self.now)

    async def _fetch(self):
        self.asked += 1
        token = oauth.Token(f"token-{self.asked}", self._lifetime)
        await self.open.wait()
        return self._answers.pop(0) if self._answers else token

    async def get(self, *, refused=None):
        deadline = asyncio.get_running_loop().time() + 20.0
        return await self.tokens.get(deadline=deadline, refused=refused)


async def turns():
    """Let what is under way come to its end: none of it waits for anything but the loop."""
    for _ in range(10):
        await asyncio.sleep(0)


def test_a_token_is_fetched_once_for_those_who_ask_together_and_kept():
    async def scene():
        account = Account()
        first = await asyncio.gather(account.get(), account.get(), account.get())
        account.now += 3299.0
        return [*first, await account.get()], account.asked

    assert asyncio.run(scene()) == (["token-1"] * 4, 1)


def test_it_is_renewed_ahead_of_its_end_and_nobody_waits():
    async def scene():
        account = Account()
        await account.get()
        account.now += 3300.0
        account.open.clear()
        meanwhile = [await account.get(), await account.get()]
        account.open.set()
        await turns()
        return meanwhile, await account.get(), account.asked

    assert asyncio.run(scene()) == (["token-1", "token-1"], "token-2", 2)


def test_after_its_end_everybody_waits():
    async def scene():
        account = Account()
        await account.get()
        account.now += 3600.0
        return await account.get()

    assert asyncio.run(scene()) == "token-2"


def test_a_short_life_is_used_by_half_before_it_is_renewed():
    async def scene():
        account = Account(lifetime=60.0)
        tokens = [await account.get()]
        for seconds in (29.0, 1.0, 0.0):
            account.now += seconds
            tokens.append(await account.get())
            await turns()
        return tokens

    assert asyncio.run(scene()) == ["token-1", "token-1", "token-1", "token-2"]


def test_a_refused_token_is_replaced_and_one_replaced_already_is_not_again():
    async def scene():
        account = Account()
        old = await account.get()
        return await account.get(refused=old), await account.get(refused=old), account.asked

    assert asyncio.run(scene()) == ("token-2", "token-2", 2)


def test_a_failure_is_everybodys_for_a_second():
    async def scene():
        account = Account(REFUSED)
        said = [await account.get()]
        account.now += 0.9
        said.append(await account.get())
        asked = account.asked
        account.now += 0.2
        return said, asked, await account.get()

    assert asyncio.run(scene()) == ([REFUSED, REFUSED], 1, "token-2")


def test_a_renewal_that_fails_leaves_the_token_there_is():
    async def scene():
        account = Account()
        await account.get()
        account._answers.append(REFUSED)
        account.now += 3300.0
        tokens = [await account.get()]
        await turns()
        for seconds in (0.5, 0.6, 0.0):
            account.now += seconds
            tokens.append(await account.get())
            await turns()
        return tokens, account.asked

    assert asyncio.run(scene()) == (["token-1", "token-1", "token-1", "token-3"], 3)


def test_who_is_out_of_time_goes_and_the_fetch_stays():
    async def scene():
        account = Account()
        account.open.clear()
        late = await account.tokens.get(deadline=0.0)
        account.open.set()
        return late.status_code, await account.get(), account.asked

    assert asyncio.run(scene()) == (504, "token-1", 1)


def test_a_tokens_repr_does_not_show_it():
    assert "pa55" not in repr(oauth.Token("pa55", 60.0))
