/* The connection to the controller, and the journal that stands in for it. Nothing here blocks for longer than the
 * deadline of the session, but where a living controller asks for more time. */
#ifndef ACG_LINK_H
#define ACG_LINK_H

#include <stdbool.h>
#include <stddef.h>

#include "config.h"
#include "wire.h"

#define WIRE_BIT(type) (1u << (type))

/* A connected descriptor, or -errno. */
int link_open(const struct client_config *block);

/* Sends one packet; false when the controller cannot be reached any more. */
bool link_send(int link, const char *bytes, size_t size);

/* Waits for a packet of one of `types` (WIRE_BIT of each) and returns its type, and its blob in `blob` (inside
 * `bytes`); 0 at the deadline and when the controller hangs up. A WAIT moves the deadline. Other packets are skipped:
 * an answer that came too late, a newer controller. */
unsigned link_receive(int link, unsigned types, unsigned deadline_ms, char *bytes, size_t room, struct piece *blob);

/* Whether something from the controller lies unread: it has something to tell, and will with DONE. */
bool link_has_mail(int link);

/* Appends one packet to the journal in one write(2). */
void link_journal(const struct client_config *block, const char *bytes, size_t size);

#endif
