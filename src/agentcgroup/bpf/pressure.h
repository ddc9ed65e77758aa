/* What pressure.bpf.c tells user space. Mirrored by agentcgroup/kernel/pressure.py. */
#pragma once

#include "pressed.h"

#define CALLS "calls" /* the cgroup in a session that holds its calls (domain/tree.py) */

enum where { /* whose room there is none of */
	WHERE_OWN = 1,     /* of the call's own cgroup (the agent's), or of one in it */
	WHERE_CALLS = 2,   /* of calls/: all calls of the session share it */
	WHERE_SESSION = 3, /* of the session, its agent included */
	WHERE_ABOVE = 4,   /* of a cgroup around the session: whoever else is in there shares it */
	WHERE_HOST = 5,
};

struct event {
	u64 at_ns;   /* CLOCK_MONOTONIC */
	u64 session; /* ids of cgroups */
	u64 call;    /* the cgroup below calls/, or the agent's */
	u32 where;
	u32 count;   /* stalls of the call, for this room, since it was told of last: this one included */
	u32 agent;   /* 1: it is the agent's own task */
	u32 unused;
	char session_name[72];
	char call_name[40];
};

struct counters { /* of one CPU */
	u64 stalls; /* of tasks of sessions, told or not */
	u64 others; /* of all other tasks */
	u64 told;
};

struct state { /* the only global: user space maps it as the memory of .data */
	u64 every_ns;   /* set before the start: a call is told of once in so long, for each room */
	u64 pressed_ns; /* set before the start: for so long after a stall its rank counts as pressed */
	u64 lost;       /* events without room in the ring */
};
