/* What one stand-in must know, in a block inside its own binary (docs/reference/client-protocol.md).
 *
 * Inside, because an environment does not survive `env -i`, and a file would cost an open and could be missing. The
 * block is found by its magic and overwritten by agentcgroup.client.image when a session makes its stand-ins.
 */
#ifndef ACG_CONFIG_H
#define ACG_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CONFIG_VERSION = 1, CONFIG_NO_CGROUP = 1, CONFIG_INODES = 8 };

struct client_config {
    char magic[16];
    uint32_t version; /* 0 in the unpatched binary */
    uint32_t flags;
    uint32_t root_pid;
    uint32_t deadline_ms;
    uint64_t inodes[CONFIG_INODES];
    uint64_t device;
    char oom_score_adj[24]; /* of calls. Empty: as inherited */
    char real[256];
    char sock[256];
    char pool[256];
    char journal[256];
    char agent_cgroup[512];
    char calls_cgroup[512];
    char calls_dir[512];
    char reserved_too[1408];
    char rules[16384];
};

_Static_assert(offsetof(struct client_config, real) == 128, "layout");
_Static_assert(offsetof(struct client_config, agent_cgroup) == 1152, "layout");
_Static_assert(offsetof(struct client_config, rules) == 4096, "layout");
_Static_assert(sizeof(struct client_config) == 20480, "layout");

extern const struct client_config config;

/* Whether the block was patched for this version of the client and every string in it ends. */
bool config_sound(const struct client_config *block);

#endif
