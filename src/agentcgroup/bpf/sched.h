/* What sched.bpf.c shares with user space. Mirrored by agentcgroup/kernel/scx.py. */
#pragma once

#include "helpers.h"

struct state { /* the only global */
	s64 now; /* virtual time of the host */
	u64 queued, direct, stayed, preempted, over_high; /* how often */
	u64 ran_ns;
	s64 exit_code;
	u64 exit_kind;
	char reason[64];
	char message[128];
};
