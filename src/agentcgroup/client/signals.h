/* Signal masks, dispositions and the waiting for signals. A set is a u64: signal n is bit n - 1. */
#ifndef ACG_SIGNALS_H
#define ACG_SIGNALS_H

#include <linux/signal.h>
#include <stdint.h>

#include "sys.h"

#define SIGNALS_ALL (~(uint64_t)0)
#define SIGNAL_BIT(n) ((uint64_t)1 << ((n) - 1))

enum { SIGNALS_COUNT = 65 }; /* 1 to 64 */

/* Sets the mask and returns the old one. */
uint64_t signals_block(uint64_t mask);

/* Sets the default disposition and returns the old handler (SIG_DFL or SIG_IGN right after an exec). */
__sighandler_t signals_default(int signal);

void signals_ignore(int signal);

/* Waits for any signal; its number, -EAGAIN after `limit` (NULL: no limit), or -EINTR. */
int signals_wait(siginfo_t *info, const struct sys_timespec *limit);

/* Does to this process what `signal` does by default, while all others stay blocked. Returns when that was
 * to stop and somebody has continued us, or when the signal did nothing. */
void signals_suffer(int signal);

/* The same for the end of the process: dies of `signal` without a core file, or exits 128 + signal. */
_Noreturn void signals_die_of(int signal);

#endif
