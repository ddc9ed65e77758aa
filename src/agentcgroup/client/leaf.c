/* Leaves from the pool or by request; the contract is in leaf.h. */
#include "leaf.h"

#include "sys.h"

enum { PATH_SIZE = 600, POOL_TRIES = 4 };

static int open_cgroup(const struct client_config *block, const char *name) {
    char path[PATH_SIZE] = "";
    if (!str_append(path, sizeof path, block->calls_dir) || !str_append(path, sizeof path, "/") ||
        !str_append(path, sizeof path, name))
        return -ENAMETOOLONG;
    return sys_open(AT_FDCWD, path, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0);
}

/* Opens the leaf of this name. Without cgroups, the name is all there is: the id of the call. */
static bool use(const struct client_config *block, struct piece text, struct leaf *leaf) {
    if (!wire_leaf_name(text, leaf->name)) return false;
    if (block->flags & CONFIG_NO_CGROUP) return true;
    leaf->dir = open_cgroup(block, leaf->name);
    if (leaf->dir >= 0) return true;
    leaf->name[0] = 0;
    return false;
}

/* One read of 32 bytes is one grant: writes of up to PIPE_BUF are atomic, and so is a read of as much. */
bool leaf_from_pool(const struct client_config *block, struct leaf *leaf) {
    char grant[LEAF_SIZE];
    bool found = false;
    *leaf = (struct leaf){.dir = -1};
    if (block->pool[0] != '/') return false;
    int pool = sys_open(AT_FDCWD, block->pool, O_RDONLY | O_NONBLOCK, 0);
    if (pool < 0) return false;
    /* A prepared leaf may be gone (removed by hand): a few tries, then ask. */
    for (int tries = 0; tries < POOL_TRIES && !found; tries++) {
        if (SYS3(__NR_read, pool, grant, sizeof grant) != sizeof grant) break;
        found = use(block, (struct piece){grant, sizeof grant}, leaf);
    }
    sys_close(pool);
    return found;
}

bool leaf_granted(const struct client_config *block, struct piece name, struct leaf *leaf) {
    *leaf = (struct leaf){.dir = -1};
    return use(block, name, leaf);
}

void leaf_unmanaged(const struct client_config *block, struct leaf *leaf) {
    *leaf = (struct leaf){.dir = -1};
    if (!(block->flags & CONFIG_NO_CGROUP)) leaf->dir = open_cgroup(block, "unmanaged");
}

void leaf_forget(struct leaf *leaf) {
    sys_close(leaf->dir);
    *leaf = (struct leaf){.dir = -1};
}
