/* Socket and journal; the contract is in link.h. */
#include "link.h"

#include <asm/socket.h>
#include <linux/un.h>

#include "sys.h"

enum {
    AF_LOCAL_ = 1,
    SOCK_SEQPACKET_ = 5,
    SOCK_CLOEXEC_ = O_CLOEXEC,
    MSG_DONTWAIT_ = 0x40,
    MSG_NOSIGNAL_ = 0x4000,
};

static int connect_to(int link, const struct client_config *block) {
    struct sockaddr_un address = {.sun_family = AF_LOCAL_};
    /* As a timeval, and never 0, which would mean for ever. */
    struct sys_timespec limit = {block->deadline_ms / 1000, block->deadline_ms % 1000 * 1000 + 1};
    struct piece path = piece_of(block->sock);
    if (path.size == 0 || !str_copy(address.sun_path, sizeof address.sun_path, path)) return -ENAMETOOLONG;
    /* connect(2) waits when the backlog is full, send(2) when the buffer is: both for the deadline at most. */
    SYS5(__NR_setsockopt, link, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    return (int)SYS3(__NR_connect, link, &address, offsetof(struct sockaddr_un, sun_path) + path.size + 1);
}

int link_open(const struct client_config *block) {
    int link = sys_above_stdio((int)SYS3(__NR_socket, AF_LOCAL_, SOCK_SEQPACKET_ | SOCK_CLOEXEC_, 0));
    if (link < 0) return link;
    int failed = connect_to(link, block);
    if (failed >= 0) return link;
    sys_close(link);
    return failed;
}

bool link_send(int link, const char *bytes, size_t size) {
    return link >= 0 && SYS6(__NR_sendto, link, bytes, size, MSG_NOSIGNAL_, 0, 0) == (long)size;
}

unsigned link_receive(int link, unsigned types, unsigned deadline_ms, char *bytes, size_t room, struct piece *blob) {
    uint64_t until = sys_now() + (uint64_t)deadline_ms * 1000000u;
    while (link >= 0 && sys_ready(link, SYS_READABLE, until)) {
        long size = SYS6(__NR_recvfrom, link, bytes, room, MSG_DONTWAIT_, 0, 0);
        if (size == -EAGAIN || size == -EINTR) continue;
        if (size <= 0) return 0;
        uint32_t more_ms;
        if (wire_wait_ms(bytes, (size_t)size, &more_ms)) {
            until = sys_now() + (uint64_t)more_ms * 1000000u;
            continue;
        }
        unsigned type = wire_type_of(bytes, (size_t)size);
        if (type < 32 && (types & WIRE_BIT(type))) return wire_one_blob(bytes, (size_t)size, blob) ? type : 0;
    }
    return 0;
}

bool link_has_mail(int link) { return link >= 0 && sys_ready(link, SYS_READABLE, 0); }

void link_journal(const struct client_config *block, const char *bytes, size_t size) {
    if (block->journal[0] != '/') return;
    int flags = O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK;
    int journal = sys_open(AT_FDCWD, block->journal, flags, 0600);
    if (journal < 0) return;
    SYS3(__NR_write, journal, bytes, size);
    sys_close(journal);
}
