/* The leaf cgroup of a call: where its name comes from and how it is opened. */
#ifndef ACG_LEAF_H
#define ACG_LEAF_H

#include "config.h"
#include "wire.h"

struct leaf {
    char name[LEAF_SIZE]; /* empty: none, the call runs unmanaged */
    int dir;              /* O_PATH descriptor of the cgroup to start in, or -1 */
};

/* Takes a prepared leaf from the pool; false, and no leaf, when there is none. Needs no connection: data in a FIFO
 * lives only as long as somebody, the controller, has it open. */
bool leaf_from_pool(const struct client_config *block, struct leaf *leaf);

/* Uses the leaf that the controller granted; false, and no leaf, when there is none of that name. */
bool leaf_granted(const struct client_config *block, struct piece name, struct leaf *leaf);

/* No leaf: the cgroup `unmanaged`, if there is one. */
void leaf_unmanaged(const struct client_config *block, struct leaf *leaf);

/* Gives up the leaf, because nothing could be started in it. */
void leaf_forget(struct leaf *leaf);

#endif
