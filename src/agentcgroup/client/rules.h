/* The rule table: what is this shell, and to which agent does it belong (docs/reference/client-protocol.md)?
 *
 * The table is text in the configuration block. It is compared and never evaluated; a line or condition that is not
 * understood does not match.
 */
#ifndef ACG_RULES_H
#define ACG_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "names.h"
#include "str.h"

enum { AGENT_SIZE = 64, LINEAGE_MAX = 64 };

/* The processes above the shell: [0] is its parent, the last one root_pid when `complete`. */
struct lineage {
    struct ancestor ancestor[LINEAGE_MAX];
    unsigned count;
    bool complete;
};

struct shell {
    int argc;
    char *const *argv;
    char *const *envp;
    bool session_leader;
};

struct verdict {
    const char *label; /* call, launcher, probe, hook or helper */
    char agent[AGENT_SIZE];
};

void rules_decide(const char *table, const struct lineage *lineage, const struct shell *shell, struct verdict *verdict);

/* Whether one condition of a rule holds; `child` says that the shell's parent is the agent process. */
bool rules_condition(struct piece condition, const struct shell *shell, bool child);

#endif
