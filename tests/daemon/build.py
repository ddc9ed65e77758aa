"""Messages at random, for property tests: every field takes every value that it may have."""

from __future__ import annotations

from hypothesis import strategies as st

from agentcgroup.daemon.fields import SIZE_MAX
from agentcgroup.daemon.messages import (
    ORDERS,
    QUESTIONS,
    Actions,
    Answer,
    Hello,
    Killed,
    Look,
    Order,
    Pong,
    Question,
    Refused,
    Report,
    Welcome,
)
from agentcgroup.model import Priority, Support
from agentcgroup.policy.world import (
    Admit,
    Asked,
    Began,
    CallId,
    CallState,
    Ended,
    Freeze,
    Kill,
    Limit,
    Moved,
    Protect,
    Reclaim,
    Refuse,
    Request,
    SessionState,
    Short,
    Stalled,
    Thaw,
    Tripwire,
    Woken,
)
from agentcgroup.trace.kill_log import KillRecord

SESSION = "s1"

_names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", fullmatch=True).filter(lambda name: SESSION not in name)
_sizes = st.integers(0, SIZE_MAX)
_maybe = st.none() | _sizes
_seconds = st.floats(0, 1e9)
_priorities = st.sampled_from(Priority)
_texts = st.text(max_size=300)
calls = st.builds(CallId, st.just(SESSION), _names)

states = st.builds(
    SessionState,
    name=st.just(SESSION),
    priority=_priorities,
    memory_bytes=_sizes,
    budget_bytes=_maybe,
    calls_bytes=_maybe,
    agent_bytes=_sizes,
    calls=st.lists(
        st.builds(
            CallState,
            calls,
            _priorities,
            _seconds,
            _sizes,
            _maybe,
            _maybe,
            _maybe,
            st.booleans(),
            _sizes,
            st.booleans(),
            st.none() | _seconds,
            _seconds,
        ),
        max_size=4,
    ).map(tuple),
)
requests = st.lists(st.builds(Request, calls, _priorities, _seconds, _maybe), max_size=3).map(tuple)
signals = st.one_of(
    st.builds(Asked, calls),
    st.builds(Began, calls),
    st.builds(Ended, calls),
    st.builds(Moved, st.just(SESSION), st.none() | calls, _sizes, _sizes, _sizes, _sizes),
    st.builds(Stalled, st.just(SESSION), _sizes, _sizes, st.booleans()),
    st.builds(Short, st.just(SESSION), st.none() | calls, st.just(SESSION)),
    st.builds(Woken),
)
actions = st.one_of(
    st.builds(Limit, calls, _maybe, _maybe, _texts),
    st.builds(Reclaim, calls, _sizes, _texts),
    st.builds(Freeze, calls, _texts),
    st.builds(Thaw, calls, _texts),
    st.builds(Kill, calls, _texts, _texts),
    st.builds(Admit, calls, _texts),
    st.builds(Refuse, calls, _texts),
    st.builds(Protect, st.just(SESSION), _sizes, _sizes, _texts),
    st.builds(Tripwire, st.just(SESSION), _maybe, _texts),
)
records = st.builds(
    KillRecord,
    session=st.just(SESSION),
    call=_names,
    rule=st.text(max_size=50),
    reason=_texts,
    command=_texts,
    memory_bytes=_maybe,
    peak_bytes=_maybe,
    limit_bytes=_maybe,
    pressure_percent=st.none() | st.floats(0, 100),
    uid=st.none() | st.integers(0, 1 << 32),
)

first = st.one_of(
    st.builds(
        Hello,
        name=_names,
        now_s=_seconds,
        priority=_priorities,
        argv=st.lists(_texts, max_size=3).map(tuple),
        agent=_texts,
        trace=_texts,
        budget_bytes=_maybe,
        support=st.sampled_from(Support),
        cgroup=_texts,
        version=_sizes,
    ),
    st.builds(Question, st.sampled_from(QUESTIONS), st.none() | _names, _texts, _sizes),
)
later = st.one_of(
    st.builds(Report, _sizes, states, requests, st.lists(signals, max_size=4).map(tuple), st.none() | _sizes),
    st.builds(Killed, records),
)
from_daemon = st.one_of(
    st.builds(Welcome, _names, _texts, _seconds, _sizes, st.sampled_from(["", "sched_ext"]), _sizes),
    st.builds(Refused, _texts, _texts),
    st.builds(Actions, _sizes, st.lists(actions, max_size=4).map(tuple)),
    st.builds(Order, st.sampled_from([order for order in ORDERS if order != "set-priority"]), _texts),
    st.builds(Order, st.just("set-priority"), _priorities.map(lambda priority: priority.name.lower())),
    st.just(Look()),
    st.builds(Pong, _sizes),
    st.builds(Answer, st.dictionaries(_texts, st.none() | _sizes | _texts, max_size=3)),
)
