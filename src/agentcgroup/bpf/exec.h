/* What exec.bpf.c tells user space. Mirrored by agentcgroup/kernel/tracking_events.py; nothing here but fixed sizes. */
#pragma once

#include "helpers.h"

#define MAX_ARGUMENTS 4096 /* bytes of the arguments that are kept */
#define MAX_PATH_KEPT 256

enum event_kind {
	EVENT_FORK = 1, /* a process of ours was born */
	EVENT_EXEC = 2, /* it runs another program */
	EVENT_EXIT = 3, /* its last thread ended */
	EVENT_MOVE = 4, /* it came into our cgroups, or from one of them to another */
	EVENT_LEFT = 5, /* it is in none of our cgroups any more */
};

enum event_flag {
	FLAG_ARGUMENTS_CUT = 1,        /* there were more than MAX_ARGUMENTS bytes */
	FLAG_ARGUMENTS_UNREADABLE = 2, /* they were not in memory; none is here */
	FLAG_PATH_CUT = 4,
	FLAG_KNOWN = 8, /* the program is one of state.known */
};

struct event {
	u64 at_ns;           /* CLOCK_MONOTONIC */
	u64 started_ns;      /* of the process, CLOCK_BOOTTIME: with pid, its name for ever */
	u64 parent_started_ns;
	u64 cgroup;          /* where it is now */
	u64 from;            /* EVENT_MOVE, EVENT_LEFT: where it was; 0 when that was not one of ours */
	u32 kind;
	u32 pid;             /* of the process (tgid) */
	u32 parent;
	u32 thread;          /* that did it (pid) */
	s32 status;          /* EVENT_EXIT: as wait(2) gives it */
	u16 flags;
	u16 arguments;       /* bytes that follow, separated by NUL */
	u16 path;            /* bytes after those */
	u8 unused[6];
	char name[16];       /* comm */
};

struct counters { /* of one CPU */
	u64 forks, execs, exits, moves, left;
};

enum { MAX_KNOWN = 8 };

struct state { /* the only global: user space maps it as the memory of .data */
	u64 root;        /* set before the start: id of the cgroup whose descendants are ours */
	u64 quiet_until; /* CLOCK_MONOTONIC: user space will look by itself then, so do not wake it before, */
	u64 urgent;      /* but for these kinds of events: 1 << kind */
	u64 lost;        /* events without room in the ring */
	u64 unmarked;    /* no memory to remember a process: its leaving would not be seen */
	u64 watched;          /* in the cgroup with this id (0: none) */
	u64 watched_kinds;    /* these kinds are urgent too (1 << kind), but for execs of the programs */
	u64 known[MAX_KNOWN]; /* with these inode numbers (0: none) */
	u64 known_device;     /* on this device, as the kernel counts (major << 20 | minor) */
};
