"""Who asks what, and when: clients that come and go, each with a principal, on their own until it is over."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import aiohttp

from bench.ground import Ground
from bench.servers.content import uri
from bench.soak.deeds import Deed, deeds
from bench.soak.legacy import Legacy
from bench.soak.modern import Modern
from bench.soak.official import Official
from bench.soak.tally import Tally
from bench.soak.upstreams import NAMES, passed

PRINCIPALS = ("ada", "alan", "grace")
MODES = ("auto", "legacy")
"""Of the SDK's client."""
EACH = 2
"""Of how many clients each kind of traffic is."""
QUIET_S = 20.0
"""What is not answered by then while all is quiet is not served."""
PAUSE_S = (0.005, 0.04)
LISTENING_S = (0.2, 12.0)


@dataclass(slots=True)
class Traffic:
    """All of it."""

    ground: Ground
    http: aiohttp.ClientSession
    tally: Tally
    rolled: random.Random

    async def flow(self, over: asyncio.Event) -> None:
        """Everybody at once, until it is over and each has what it asked for."""
        kinds = (self._modern, self._legacy, self._vanishing, self._listening, self._official)
        async with asyncio.TaskGroup() as tasks:
            for number in range(EACH):
                for kind in kinds:
                    tasks.create_task(self._again(kind, number, over))

    async def _again(self, kind: Callable[[int], Awaitable[None]], number: int, over: asyncio.Event) -> None:
        while not await passed(over, self.rolled.uniform(*PAUSE_S)):
            await kind(number)

    async def each_once(self) -> None:
        """Ask for everything at every upstream while all is quiet. What is not served now is left out of the rest."""
        for number, _ in enumerate(PRINCIPALS):
            for upstream in NAMES:
                modern, session = self._client(upstream, number), await self._session(upstream, number)
                for deed in deeds(upstream, merged=False, modern=True):
                    await self._tried(f"modern {deed.name}", modern.do(deed))
                for deed in deeds(upstream, merged=False, modern=False):
                    await self._tried(f"legacy {deed.name}", session.do(deed))
                await self._tried("listen", modern.listen([uri(upstream)], 1.0))
                await session.close(orderly=True)
            for mode in MODES:
                await self._tried(f"SDK {mode}", self._sdk(NAMES[0], number, mode, merged=True).visit(whole=False))

    async def _tried(self, what: str, doing: Coroutine[Any, Any, None]) -> None:
        if what in self.tally.left_out:
            doing.close()
            return
        trial = Tally()
        if not await trial.one(what, doing, QUIET_S):
            problem = [*trial.failed, *trial.strange, *trial.unanswered][0]
            self.tally.left_out[what] = problem.removeprefix(f"{what}: ")

    async def _modern(self, number: int) -> None:
        upstream, merged = self._somewhere()
        client = self._client("" if merged else upstream, number)
        if (deed := self._any("modern", upstream, merged=merged)) is not None:
            await self.tally.one(f"modern {deed.name}", client.do(deed))

    async def _legacy(self, number: int) -> None:
        """A session with some dozen deeds. One of three is left without a word."""
        upstream, merged = self._somewhere()
        session = await self._session("" if merged else upstream, number)
        for _ in range(self.rolled.randint(1, 40)):
            if (deed := self._any("legacy", upstream, merged=merged)) is not None:
                await self.tally.one(f"legacy {deed.name}", session.do(deed))
            await asyncio.sleep(self.rolled.uniform(*PAUSE_S))
        await session.close(orderly=self.rolled.random() > 1 / 3)

    async def _vanishing(self, number: int) -> None:
        """A client that does not wait for its answer."""
        upstream, merged = self._somewhere()
        address, after = "" if merged else upstream, self.rolled.uniform(0.0, 0.03)
        if self.rolled.random() < 0.5:
            deed = self._any("modern", upstream, merged=merged)
            if deed is not None:
                await self._client(address, number).vanish(deed, after)
            return
        session = await self._session(address, number)
        if (deed := self._any("legacy", upstream, merged=merged)) is not None:
            leave = session.withdraw if self.rolled.random() < 0.5 else session.vanish
            await leave(deed, after)
        await session.close(orderly=False)
        await asyncio.sleep(self.rolled.uniform(0, 0.5))

    async def _listening(self, number: int) -> None:
        seconds = self.rolled.uniform(*LISTENING_S)
        if "listen" in self.tally.left_out:
            await asyncio.sleep(seconds)
            return
        upstream, merged = self._somewhere()
        client = self._client("" if merged else upstream, number)
        await self.tally.one("listen", client.listen([uri(upstream)], seconds))

    async def _official(self, number: int) -> None:
        upstream, merged = self._somewhere()
        mode = MODES[number % len(MODES)]
        client = self._sdk(upstream, number, mode, merged=merged)
        whole = not {"modern ask", "legacy ask"} & self.tally.left_out.keys()
        await self.tally.one(f"SDK {mode}", client.visit(whole=whole))
        await asyncio.sleep(self.rolled.uniform(0.2, 1))

    def _somewhere(self) -> tuple[str, bool]:
        """An upstream, and whether it is asked as one of several."""
        return self.rolled.choice(NAMES), self.rolled.random() < 0.5

    def _any(self, era: str, upstream: str, *, merged: bool) -> Deed | None:
        found = deeds(upstream, merged=merged, modern=era == "modern")
        served = [deed for deed in found if f"{era} {deed.name}" not in self.tally.left_out]
        return self.rolled.choice(served) if served else None

    def _client(self, upstream: str, number: int) -> Modern:
        return Modern(self.http, self.ground.url(upstream), self._token(number), self.tally)

    async def _session(self, upstream: str, number: int) -> Legacy:
        return await Legacy(self.http, self.ground.url(upstream), self._token(number), self.tally).open()

    def _sdk(self, upstream: str, number: int, mode: str, *, merged: bool) -> Official:
        url, prefix = self.ground.url("" if merged else upstream), f"{upstream}__" if merged else ""
        return Official(url, prefix, self._token(number), self.tally, mode=mode)

    def _token(self, number: int) -> str:
        return self.ground.tokens[PRINCIPALS[number % len(PRINCIPALS)]]
