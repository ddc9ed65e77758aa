/* Signals; the contract is in signals.h. */
#include "signals.h"

#include <linux/prctl.h>
#include <linux/resource.h>

#include "sys.h"

struct kernel_sigaction {
    __sighandler_t handler;
    unsigned long flags;
    void *restorer;
    uint64_t mask;
};

uint64_t signals_block(uint64_t mask) {
    uint64_t old = 0;
    SYS4(__NR_rt_sigprocmask, SIG_SETMASK, &mask, &old, sizeof mask);
    return old;
}

static __sighandler_t dispose(int signal, __sighandler_t handler) {
    struct kernel_sigaction action = {.handler = handler}, old = {.handler = SIG_DFL};
    SYS4(__NR_rt_sigaction, signal, &action, &old, sizeof action.mask);
    return old.handler;
}

__sighandler_t signals_default(int signal) { return dispose(signal, SIG_DFL); }

void signals_ignore(int signal) { dispose(signal, SIG_IGN); }

int signals_wait(siginfo_t *info, const struct sys_timespec *limit) {
    uint64_t all = SIGNALS_ALL;
    return (int)SYS4(__NR_rt_sigtimedwait, &all, info, limit, sizeof all);
}

void signals_suffer(int signal) {
    signals_default(signal);
    SYS2(__NR_kill, sys_getpid(), signal);
    signals_block(SIGNALS_ALL & ~SIGNAL_BIT(signal));
    signals_block(SIGNALS_ALL);
}

_Noreturn void signals_die_of(int signal) {
    /* The command has dumped its core, if it was to; a second one, of us, would overwrite it. A core_pattern that
     * is a pipe does not look at the limit, but at the dumpable flag. */
    struct rlimit none = {0, 0};
    SYS2(__NR_setrlimit, RLIMIT_CORE, &none);
    SYS2(__NR_prctl, PR_SET_DUMPABLE, 0);
    signals_suffer(signal);
    sys_exit(128 + signal);
}
