/* The block itself. In a file of its own, so that no compiler can see its contents and fold them into the code. */
#include "config.h"

__attribute__((used, aligned(16))) const struct client_config config = {
    .magic = {'A', 'C', 'G', '-', 'C', 'L', 'I', 'E', 'N', 'T', '-', 'C', 'O', 'N', 'F', '1'},
};

#define ENDS(field) ((block)->field[sizeof(block)->field - 1] == 0)

bool config_sound(const struct client_config *block) {
    return block->version == CONFIG_VERSION && block->real[0] == '/' && ENDS(oom_score_adj) && ENDS(real) && ENDS(sock) && ENDS(pool) &&
           ENDS(journal) && ENDS(agent_cgroup) && ENDS(calls_cgroup) && ENDS(calls_dir) && ENDS(rules);
}
