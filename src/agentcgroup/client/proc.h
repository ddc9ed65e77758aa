/* What the client reads from /proc about itself and its ancestors. */
#ifndef ACG_PROC_H
#define ACG_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config.h"
#include "rules.h"
#include "str.h"

enum place { PLACE_OUTSIDE, PLACE_AGENT, PLACE_CALL };

/* The path in the `0::` line of a /proc/PID/cgroup text; false when it has none (no cgroup v2). */
bool proc_unified(struct piece text, struct piece *path);

/* Where a process with this /proc/PID/cgroup text is, seen from the session of `block`. */
enum place proc_place_of(struct piece text, const struct client_config *block);

/* The state letter and the parent in a /proc/PID/stat text; false when it is not one. */
bool proc_stat_fields(struct piece text, char *state, uint32_t *parent);

enum place proc_place(const struct client_config *block);

/* The state letter of a process, 0 when it is gone. */
char proc_state(uint32_t pid);

/* Walks from the parent up to root_pid. Returns true when one of them is a client at work, which means that we
 * are inside a call already. */
bool proc_lineage(const struct client_config *block, struct lineage *lineage);

/* Whether `signal` is pending for the whole process `pid` (ShdPnd of /proc/PID/status). */
bool proc_pending(uint32_t pid, int signal);

#endif
