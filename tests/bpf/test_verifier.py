"""How many instructions the kernel's verifier walks through for each of our programs, so that growth is seen.

The verifier follows every path, so a harmless looking branch or loop can multiply its work, and a program that it
gives up on is gone on that kernel. The table is printed, also when all is well: read it in the log before raising a
limit. Counts differ a little by kernel and clang.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from agentcgroup.kernel import bpf
from agentcgroup.kernel.bpf import BpfObject
from tests.kernel import memcg_elsewhere

#: Object -> program -> the most instructions: half as many again as with clang 19 on Linux 7.3.4 in November 2026.
LIMITS: dict[str, dict[str, int]] = {
    "exec": {
        "agent_fork": 1500,
        "agent_fork_2": 1450,
        "agent_exec": 1450,
        "agent_exec_2": 1450,
        "agent_exit": 850,
        "agent_exit_2": 850,
        "agent_move": 1100,
        "agent_move_2": 950,
        "agent_present": 650,
    },
    "memcg": {
        "memcg_below_low": 950,
        "memcg_below_min": 950,
        "memcg_high_delay": 2050,
        "memcg_charged": 2050,
        "memcg_online": 50,
        "memcg_offline": 50,
    },
    "pressure": {
        "pressure_limit": 8050,
        "pressure_host": 1700,
    },
    "sched": {
        "sched_select_cpu": 50,
        "sched_enqueue": 6150,
        "sched_dispatch": 3150,
        "sched_tick": 7400,
        "sched_runnable": 2850,
        "sched_quiescent": 2850,
        "sched_cgroup_move": 3500,
        "sched_running": 850,
        "sched_stopping": 4850,
        "sched_init_task": 50,
        "sched_cgroup_init": 200,
        "sched_cgroup_set_weight": 50,
        "sched_cgroup_set_bandwidth": 150,
        "sched_init": 22800,
        "sched_exit": 50,
    },
}


def _partial(name: str) -> BpfObject:
    """The object, without the programs for which this kernel has no place."""
    made = BpfObject(name)
    for program in made.programs:
        if not made.has_target(program):
            made.leave_out(program)
    return made


#: The same source; without the search for an idle CPU, which the kernel makes itself there.
LIMITS["below"] = {name: most for name, most in LIMITS["sched"].items() if name != "sched_select_cpu"}


#: How an object is opened that not every kernel takes as it is.
_OPEN: dict[str, Callable[[str], BpfObject]] = {
    "memcg": lambda _: memcg_elsewhere.opened(),
    "pressure": _partial,
}


def test_every_object_has_its_limits() -> None:
    assert sorted(LIMITS) == sorted(path.name.removesuffix(".bpf.c") for path in bpf.FOLDER.glob("*.bpf.c"))


@pytest.mark.kernel
@pytest.mark.parametrize("name", LIMITS)
def test_the_verifier_has_little_to_walk_through(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with _OPEN.get(name, BpfObject)(name) as loaded:
        programs = loaded.programs
        loaded.load()
        found = {program: info.verified_instructions for program, info in loaded.info().items()}
    limits = LIMITS[name]
    with capsys.disabled():
        print(f"\n{name}: instructions that the verifier walked through (limit)")
        for program in programs:
            print(f"  {program:24} {found.get(program, 0):7} ({limits.get(program, 'none')})")
    assert set(programs) == set(limits)
    assert all(0 < count <= limits[program] for program, count in found.items()), found
