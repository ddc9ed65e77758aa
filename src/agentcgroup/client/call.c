/* A call; the contract is in call.h. */
#include "call.h"

#include <linux/prctl.h>

#include "counters.h"
#include "leaf.h"
#include "link.h"
#include "relay.h"
#include "sentinel.h"
#include "signals.h"
#include "spawn.h"
#include "sys.h"
#include "watchdog.h"
#include "wire.h"

enum { START_MAX = 81920, END_MAX = 32768, CWD_MAX = 4096, TOOL_CALL_ID_MAX = 256, PRINT_CHUNK = 4096 };

/* Static, so that only the pages that are written cost anything. START is kept to the end: if the controller dies
 * meanwhile, it goes into the journal together with END. */
static struct {
    const struct client_config *block;
    const struct invocation *by;
    uint32_t self;
    int link; /* -errno: no controller */
    bool journaled;
    struct leaf leaf;
    struct message start;
    char start_bytes[START_MAX];
    char end_bytes[END_MAX];
    char done_bytes[WIRE_MAX];
} call;

/* EX_TEMPFAIL of sysexits.h: a command that was refused may be tried again. */
enum { REFUSED_STATUS = 75 };

static uint32_t cut(uint32_t size, uint32_t at) { return size < at ? size : at; }

static void wire_text(struct message *m, const char *text) { wire_blob(m, text, str_length(text)); }

static void wire_cut_text(struct message *m, const char *text, uint32_t at) {
    wire_blob(m, text ? text : "", text ? cut((uint32_t)str_length(text), at) : 0);
}

static void wire_argv(struct message *m) { wire_blob(m, call.by->argv[0], cut(call.by->argv_bytes, WIRE_ARGV_MAX)); }

static const char *hint(void) { return env_value(call.by->envp, piece_of("AGENT_RESOURCE_HINT")); }

static void send_or_journal(const struct message *m) {
    if (!call.journaled && link_send(call.link, m->bytes, m->size)) return;
    if (!call.journaled && m != &call.start) link_journal(call.block, call.start.bytes, call.start.size);
    call.journaled = true;
    link_journal(call.block, m->bytes, m->size);
}

static void send_start(uint32_t pid, const char *agent, uint64_t started_ns) {
    struct message *m = &call.start;
    char cwd[CWD_MAX] = "";
    const char *id = env_value(call.by->envp, piece_of("CODEX_TOOL_CALL_ID"));
    SYS2(__NR_getcwd, cwd, sizeof cwd);
    wire_begin(m, call.start_bytes, START_MAX, WIRE_START, call.self);
    wire_u32(m, call.self);
    wire_u32(m, pid);
    wire_u32(m, sys_getppid());
    wire_u32(m, call.by->argv_bytes);
    wire_u64(m, call.by->requested_ns);
    wire_u64(m, started_ns);
    wire_text(m, call.leaf.name);
    wire_text(m, agent);
    wire_cut_text(m, id, TOOL_CALL_ID_MAX);
    wire_text(m, cwd);
    wire_argv(m);
    wire_cut_text(m, hint(), WIRE_HINT_MAX);
    if (wire_end(m)) send_or_journal(m);
}

/* The agent waits for the end of its pipes and for the end of the command; our copies must not be what it waits
 * for. Only stderr stays, for the text of DONE. */
static void release_descriptors(void) {
    int first = call.link < call.leaf.dir ? call.link : call.leaf.dir;
    int second = call.link < call.leaf.dir ? call.leaf.dir : call.link;
    unsigned from = 3;
    sys_close_range(0, 1);
    for (int keep = first, i = 0; i < 2; keep = second, i++) {
        if (keep < 0) continue;
        sys_close_range(from, (unsigned)keep - 1);
        from = (unsigned)keep + 1;
    }
    sys_close_range(from, ~0u);
}

/* Otherwise `pgrep -f` in the command would find its own text twice, and `pkill -f` would kill us first. */
static void take_own_name(void) {
    static const char name[] = "agentcgroup";
    SYS2(__NR_prctl, PR_SET_NAME, name);
    memset(call.by->argv[0], 0, call.by->argv_bytes);
    if (call.by->argv_bytes >= sizeof name) memcpy(call.by->argv[0], name, sizeof name);
}

static uint64_t micros(__kernel_old_time_t sec, long usec) { return (uint64_t)sec * 1000000u + (uint64_t)usec; }

/* Nobody may read the agent's pipe: a page at a time, and each for the deadline at most. */
static void print_text(struct piece text) {
    while (text.size > 0) {
        size_t size = text.size < PRINT_CHUNK ? text.size : PRINT_CHUNK;
        uint64_t until = sys_now() + (uint64_t)call.block->deadline_ms * 1000000u;
        if (!sys_ready(2, SYS_WRITABLE, until) || !sys_write_all(2, text.at, size)) return;
        text = (struct piece){text.at + size, text.size - size};
    }
}

/* Nothing is left to decide about a command that ended by itself, left nothing, met no limit and about which the
 * controller said nothing meanwhile: the agent has its result at once, and END is in the controller's socket before. */
static bool must_wait(const struct ending *ending, struct findings found) {
    bool metered = call.leaf.name[0] && !(call.block->flags & CONFIG_NO_CGROUP);
    return !metered || found.populated || found.eventful || (ending->status & 0x7f) != 0 || link_has_mail(call.link);
}

static void send_end(const struct ending *ending, const struct counters *counters) {
    struct message m;
    wire_begin(&m, call.end_bytes, END_MAX, WIRE_END, call.self);
    wire_u32(&m, (uint32_t)ending->status);
    size_t flags = m.size;
    wire_u32(&m, 0);
    wire_u64(&m, ending->ended_ns);
    wire_u64(&m, micros(ending->usage.ru_utime.tv_sec, ending->usage.ru_utime.tv_usec));
    wire_u64(&m, micros(ending->usage.ru_stime.tv_sec, ending->usage.ru_stime.tv_usec));
    wire_u64(&m, (uint64_t)ending->usage.ru_maxrss * 1024);
    size_t begin = wire_blob_begin(&m);
    struct findings found = counters_read(counters, &m);
    wire_blob_end(&m, begin);
    bool waits = must_wait(ending, found);
    uint32_t bits = (found.populated ? WIRE_END_POPULATED : 0) | (waits ? WIRE_END_WAITS : 0);
    memcpy(m.bytes + flags, &bits, sizeof bits);
    if (wire_end(&m)) send_or_journal(&m);
    if (call.journaled || !waits) return;
    struct piece text;
    if (!link_receive(call.link, WIRE_BIT(WIRE_DONE), call.block->deadline_ms, call.done_bytes, WIRE_MAX, &text)) {
        /* Nobody has confirmed it: the journal keeps it. The controller drops what it has got already. */
        call.journaled = true;
        link_journal(call.block, call.start.bytes, call.start.size);
        link_journal(call.block, m.bytes, m.size);
        return;
    }
    print_text(text);
}

static _Noreturn void end_as(int status) {
    if ((status & 0x7f) != 0) signals_die_of(status & 0x7f);
    sys_exit((status >> 8) & 0xff);
}

/* A command that declares what it needs is decided about before it begins. The words are searched for where an agent
 * can write them; what they mean is the controller's business. */
static bool declares(void) {
    struct piece words = {call.by->argv[0], cut(call.by->argv_bytes, WIRE_ARGV_MAX)};
    return hint() || piece_contains(words, piece_of("AGENT_RESOURCE_HINT")) ||
           piece_contains(words, piece_of("esource:")); /* also "Resource:" */
}

/* Asks for a leaf, and waits in the queue if there is one: a signal ends us there as it would end the command. */
static bool ask(const struct inherited *inherited) {
    struct message *m = &call.start;
    struct piece answer;
    wire_begin(m, call.start_bytes, START_MAX, WIRE_REQUEST, call.self);
    wire_u32(m, call.self);
    wire_u64(m, call.by->requested_ns);
    wire_argv(m);
    wire_cut_text(m, hint(), WIRE_HINT_MAX);
    if (!wire_end(m) || !link_send(call.link, m->bytes, m->size)) return false;
    spawn_restore(inherited);
    unsigned types = WIRE_BIT(WIRE_GRANT) | WIRE_BIT(WIRE_REFUSE);
    unsigned type = link_receive(call.link, types, call.block->deadline_ms, call.done_bytes, WIRE_MAX, &answer);
    spawn_prepare(&(struct inherited){0});
    if (type == WIRE_REFUSE) {
        print_text(answer);
        sys_exit(REFUSED_STATUS);
    }
    return type == WIRE_GRANT && leaf_granted(call.block, answer, &call.leaf);
}

_Noreturn void call_run(const struct client_config *block, const struct invocation *by, const char *agent) {
    struct inherited inherited;
    struct counters counters;
    struct ending ending = {.status = 0};
    int exec_error = 0;
    call.block = block;
    call.by = by;
    call.self = sys_getpid();
    spawn_prepare(&inherited);
    /* Without a cgroup, what the command leaves behind is found because it stays below us. */
    if (block->flags & CONFIG_NO_CGROUP) SYS2(__NR_prctl, PR_SET_CHILD_SUBREAPER, 1);
    bool prepared = !declares() && leaf_from_pool(block, &call.leaf);
    if (!prepared) { /* else the connection (some 40 us) can wait until the command is running */
        call.link = link_open(block);
        if (!ask(&inherited)) leaf_unmanaged(block, &call.leaf);
    }
    uint64_t started_ns = sys_now();
    long pid = spawn_command(block->real, by->argv, by->envp, &inherited, &call.leaf, &exec_error);
    if (pid < 0) { /* no process to be had: better without us than not at all */
        spawn_restore(&inherited);
        spawn_become(block->real, by->argv, by->envp);
    }
    if (exec_error) spawn_explain(block->real, exec_error);
    if (prepared) call.link = link_open(block);
    send_start((uint32_t)pid, agent, started_ns);
    release_descriptors();
    take_own_name();
    counters_open(&counters, call.leaf.name[0] ? call.leaf.dir : -1);
    watchdog_over(call.link, call.leaf.dir);
    relay_until_end((uint32_t)pid, &ending);
    send_end(&ending, &counters);
    sentinel_reap();
    end_as(ending.status);
}

void call_note(const struct client_config *block, const struct invocation *by, const char *label, const char *agent) {
    struct message m;
    call.self = sys_getpid();
    wire_begin(&m, call.start_bytes, START_MAX, WIRE_NOTE, call.self);
    wire_u32(&m, call.self);
    wire_u32(&m, sys_getppid());
    wire_u32(&m, by->argv_bytes);
    wire_u32(&m, 0);
    wire_text(&m, label);
    wire_text(&m, agent);
    wire_blob(&m, by->argv[0], cut(by->argv_bytes, WIRE_NOTE_ARGV_MAX));
    int link = link_open(block);
    if (wire_end(&m)) link_send(link, m.bytes, m.size);
    sys_close(link);
}
