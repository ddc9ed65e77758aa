/* Reading /proc; the contract is in proc.h. */
#include "proc.h"

#include "sys.h"

/* /proc/PID/cgroup has a line for every hierarchy, cgroup v2 last, and paths in clusters are long. */
enum { TEXT_SIZE = 4096, CGROUP_SIZE = 16384, PATH_SIZE = 64 };

bool proc_unified(struct piece text, struct piece *path) {
    struct piece line;
    while (piece_split(&text, '\n', &line)) {
        if (!piece_begins(line, piece_of("0::"))) continue;
        *path = (struct piece){line.at + 3, line.size - 3};
        return true;
    }
    return false;
}

enum place proc_place_of(struct piece text, const struct client_config *block) {
    struct piece path, calls = piece_of(block->calls_cgroup);
    if (!proc_unified(text, &path)) return PLACE_OUTSIDE;
    if (calls.size > 0 && path.size > calls.size && piece_begins(path, calls) && path.at[calls.size] == '/')
        return PLACE_CALL;
    return piece_equal(path, block->agent_cgroup) ? PLACE_AGENT : PLACE_OUTSIDE;
}

enum place proc_place(const struct client_config *block) {
    char text[CGROUP_SIZE];
    if (block->flags & CONFIG_NO_CGROUP) return PLACE_AGENT; /* the ancestors will say, see proc_lineage */
    long size = sys_slurp(AT_FDCWD, "/proc/self/cgroup", text, sizeof text);
    return size < 0 ? PLACE_OUTSIDE : proc_place_of((struct piece){text, (size_t)size}, block);
}

/* "PID (COMM) STATE PPID ...": COMM may hold spaces and parentheses, so the last ')' counts. */
bool proc_stat_fields(struct piece text, char *state, uint32_t *parent) {
    size_t end = text.size;
    while (end > 0 && text.at[end - 1] != ')') end--;
    struct piece rest = {text.at + end, text.size - end}, field;
    if (end == 0 || !piece_split(&rest, ' ', &field) || field.size != 0) return false;
    if (!piece_split(&rest, ' ', &field) || field.size != 1) return false;
    *state = field.at[0];
    return piece_split(&rest, ' ', &field) && piece_number(field, parent);
}

static long slurp_of(uint32_t pid, const char *file, char *text, size_t size) {
    char path[PATH_SIZE] = "/proc/";
    str_append_number(path, sizeof path, pid);
    str_append(path, sizeof path, file);
    return sys_slurp(AT_FDCWD, path, text, size);
}

static bool stat_of(uint32_t pid, char *state, uint32_t *parent) {
    char text[TEXT_SIZE];
    long size = slurp_of(pid, "/stat", text, sizeof text);
    return size > 0 && proc_stat_fields((struct piece){text, (size_t)size}, state, parent);
}

char proc_state(uint32_t pid) {
    char state = 0;
    uint32_t parent;
    return stat_of(pid, &state, &parent) ? state : 0;
}

static bool is_stand_in(uint32_t pid, const struct client_config *block) {
    char path[PATH_SIZE] = "/proc/";
    struct stat about;
    str_append_number(path, sizeof path, pid);
    str_append(path, sizeof path, "/exe");
    if (SYS4(__NR_newfstatat, AT_FDCWD, path, &about, 0) < 0 || about.st_dev != block->device) return false;
    for (int i = 0; i < CONFIG_INODES && block->inodes[i]; i++)
        if (block->inodes[i] == about.st_ino) return true;
    return false;
}

/* In a cgroup, the cgroup has told already that we are not inside a call; the one exception is a call that had to
 * run without a leaf. Then the client above has blanked its command line, and only such a process is looked at. */
static bool may_be_client(const struct ancestor *who, const struct client_config *block) {
    if (block->flags & CONFIG_NO_CGROUP) return true;
    return who->name[0] == 0 || str_equal(who->name, "agentcgroup");
}

bool proc_lineage(const struct client_config *block, struct lineage *lineage) {
    char text[TEXT_SIZE], state;
    uint32_t pid = sys_getppid();
    lineage->count = 0;
    lineage->complete = false;
    while (pid != 0 && lineage->count < LINEAGE_MAX) {
        struct ancestor *who = &lineage->ancestor[lineage->count++];
        long size = slurp_of(pid, "/cmdline", text, sizeof text);
        who->pid = pid;
        names_of((struct piece){text, size > 0 ? (size_t)size : 0}, who);
        lineage->complete = pid == block->root_pid;
        if (lineage->complete) return false;
        if (may_be_client(who, block) && is_stand_in(pid, block)) return true;
        if (!stat_of(pid, &state, &pid)) return false;
    }
    return false;
}

bool proc_pending(uint32_t pid, int signal) {
    char text[TEXT_SIZE];
    long size = slurp_of(pid, "/status", text, sizeof text);
    struct piece rest = {text, size > 0 ? (size_t)size : 0}, line;
    while (piece_split(&rest, '\n', &line)) {
        if (!piece_begins(line, piece_of("ShdPnd:"))) continue;
        /* hexadecimal, the highest signal first: signal n is bit n - 1 from the right */
        size_t digit = (size_t)(signal - 1) / 4;
        if (digit >= line.size) return false;
        char c = line.at[line.size - 1 - digit];
        int value = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : 0;
        return (value >> ((signal - 1) % 4)) & 1;
    }
    return false;
}
