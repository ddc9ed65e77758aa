/* What sched.bpf.c shares with user space. Mirrored by agentcgroup/kernel/scx.py. */
#pragma once

#include "helpers.h"

#define MS 1000000ULL
#define WAITS 20

struct counters { /* of one CPU */
	u64 queued, direct, stayed, preempted, over_high; /* how often */
	u64 ran_ns;
	u64 held, let_on, called; /* how often: a task was made to wait, was due to but in the kernel, had to get on */
	u64 waits[WAITS]; /* of tasks that woke up until they ran: [n] below 2^n us, and not below the one before */
};

struct state { /* the only global */
	s64 now; /* virtual time of the host */
	u64 sweeping;             /* 1: the timer of HELD is set */
	u64 limited;              /* 0: there is no limit and no brake; set by either side */
	s64 exit_code;
	u64 exit_kind;
	char reason[64];
	char message[128];
};

struct bucket { /* of CPU time, ns; see bandwidth.h */
	u64 rate;     /* at which it fills: CPUs, times 2^20 */
	u64 most_ns;  /* that is in it */
	u64 until_ns; /* CLOCK_MONOTONIC: from then on it does not count; 0: for ever */
	s64 left_ns;
	u64 at_ns; /* until when it has been filled */
};
