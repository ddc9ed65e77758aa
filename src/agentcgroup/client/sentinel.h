/* The sentinel: a task in our process group that tells whether a signal went to the group or to us alone.
 *
 * A signal says who sent it, not to whom. A signal to the process group has reached the command already; forwarding
 * it would deliver it twice. The sentinel is in the same group, consumes its signals and counts them in our memory.
 */
#ifndef ACG_SENTINEL_H
#define ACG_SENTINEL_H

#include <stdbool.h>
#include <stdint.h>

/* Starts it, once; without it (no process can be made) every signal counts as one to us alone. */
void sentinel_start(void);

bool sentinel_running(void);

/* Whether it is this process. */
bool sentinel_is(uint32_t pid);

/* Whether the sentinel got this signal too; waits up to 2 ms for it. */
bool sentinel_got(int signal);

/* From now on, SIGCONT us when the process `pid` is not stopped any more; 0 ends that. */
void sentinel_watch(uint32_t pid);

/* Kills it; sentinel_reap then collects it. Two steps, so that it dies while we do something else. */
void sentinel_kill(void);
void sentinel_reap(void);

#endif
