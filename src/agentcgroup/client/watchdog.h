/* The watchdog: a leaf that the controller froze must not stay frozen when the controller is gone.
 *
 * The client is outside of the frozen leaf and its connection ends with the controller: then it thaws its own leaf.
 * The kernel tells by SIGIO, so that waiting costs nothing; it is armed with the sentinel, not for short commands.
 */
#ifndef ACG_WATCHDOG_H
#define ACG_WATCHDOG_H

#include <linux/signal.h>
#include <stdbool.h>

/* What to watch and what to thaw, either may be negative: nothing is watched then. */
void watchdog_over(int link, int leaf_dir);

/* Asks for the signal, once, and looks whether the controller is gone already. All signals must be blocked. */
void watchdog_start(void);

/* Looks, when a signal may mean that the controller is gone; true when it was the watchdog's own and nobody else's. */
bool watchdog_took(int signal, const siginfo_t *info);

#endif
