/* One call from start to end (docs/reference/client-protocol.md, steps 3 to 6). */
#ifndef ACG_CALL_H
#define ACG_CALL_H

#include <stdint.h>

#include "config.h"

/* What the client was started as. `argv_bytes` is the length of the argument strings, which lie in one piece. */
struct invocation {
    int argc;
    char **argv;
    char **envp;
    uint32_t argv_bytes;
    uint64_t requested_ns;
};

/* Runs the real shell as a call of `agent` and ends as it ended. */
_Noreturn void call_run(const struct client_config *block, const struct invocation *invocation, const char *agent);

/* Tells the controller about a shell that is not a call. */
void call_note(const struct client_config *block, const struct invocation *invocation, const char *label,
               const char *agent);

#endif
