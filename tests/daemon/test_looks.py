"""A session is asked how it is no faster than it can say so: else what its clients ask would wait behind that."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from agentcgroup.daemon import codec
from agentcgroup.daemon.looks import Looks
from agentcgroup.daemon.messages import FromDaemon, Hello, Look, Report, Welcome
from agentcgroup.daemon.seat import Seat
from agentcgroup.model import Priority
from agentcgroup.policy.world import World
from tests.daemon.daemons import until
from tests.daemon.fake import MIB, FakeSession

_LOOKS = 200
_COSTS_S = 0.01  # of CPU time: a report


class _Laborious(FakeSession):
    """Takes long to say how it is."""

    def world(self) -> World:
        """See Governed."""
        until_s = time.thread_time() + _COSTS_S
        while time.thread_time() < until_s:
            pass
        return super().world()


def test_a_session_answers_many_looks_with_few_reports_and_what_it_is_asked_in_between(tmp_path: Path) -> None:
    reports: list[Report] = []
    writers: list[asyncio.StreamWriter] = []

    async def daemon(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(codec.encode(Welcome("one", "none", 60.0, 1)))
        writers.append(writer)
        while line := await reader.readline():
            report = codec.decode_to_daemon(line, "one")
            assert isinstance(report, Report)
            reports.append(report)

    async def check() -> tuple[int, float]:
        server = await asyncio.start_unix_server(daemon, tmp_path / "socket", limit=1 << 20)
        session = _Laborious("one", calls=3)
        await session.join(tmp_path / "socket", require=True)
        await until(lambda: bool(reports))
        del reports[:]
        begun_s = time.thread_time()
        writers[0].write(codec.encode(Look()) * _LOOKS)
        await asyncio.sleep(0.05)
        asked = session.ask(5 * MIB)
        await until(lambda: any(request.id == asked for report in reports for request in report.requests))
        until_asked = len(reports)
        await asyncio.sleep(1.0)
        session.decider.close()
        server.close()
        return until_asked, (time.thread_time() - begun_s)

    until_asked, cpu_s = asyncio.run(check())
    assert until_asked <= 3
    assert 1 <= len(reports) <= 15  # once in ten times what one costs, and those of the request
    assert cpu_s < _LOOKS * _COSTS_S / 4


def test_who_has_not_answered_is_not_asked_again() -> None:
    async def check() -> None:
        seats = []
        for name in ("quick", "slow"):
            sent: list[FromDaemon] = []
            hello = Hello(name, 0.0, Priority.NORMAL, ("agent",))
            seats.append((Seat(name, 0, 1, hello, sent.append, joined_s=0.0), sent))
        (quick, quickly), (slow, slowly) = seats
        done: list[float] = []
        looks = Looks(lambda: done.append(time.monotonic()))
        for number in range(1, 6):
            assert looks.ask([quick, slow]) == (2 if number == 1 else 1)
            looks.heard(quick)
            await until(lambda wanted=number: len(done) == wanted)  # type: ignore[misc]
        assert (len(quickly), len(slowly)) == (5, 1)
        looks.heard(slow)
        assert looks.ask([quick, slow]) == 2
        looks.close()

    asyncio.run(check())
