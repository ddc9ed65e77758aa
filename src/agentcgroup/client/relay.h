/* Waiting for the command while standing in for it: signals, stops, the end. */
#ifndef ACG_RELAY_H
#define ACG_RELAY_H

#include <linux/resource.h>
#include <linux/time.h>
#include <stdint.h>

struct ending {
    int status; /* as wait4(2) gives it */
    uint64_t ended_ns;
    struct rusage usage; /* of the command and what it waited for */
};

/* Waits for the end of the command `pid`, forwards the signals that were meant for it, and stops when it stops.
 * All signals must be blocked. The sentinel, if one was needed, is dying afterwards and must be reaped. */
void relay_until_end(uint32_t pid, struct ending *ending);

#endif
