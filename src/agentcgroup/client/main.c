/* The client that stands in for a shell: decides what this shell is, and what to do with it.
 *
 * The order of things, the rule table and the messages are in docs/reference/client-protocol.md. The one rule above
 * all others: whatever goes wrong here, the command runs.
 */
#include "call.h"
#include "config.h"
#include "proc.h"
#include "rules.h"
#include "spawn.h"
#include "sys.h"

static void say(const char *text) { sys_write_all(2, text, str_length(text)); }

/* The kernel puts the argument strings one behind the other. */
static uint32_t argv_bytes(int argc, char **argv) {
    if (argc == 0) return 0;
    char *last = argv[argc - 1];
    return (uint32_t)(last + str_length(last) + 1 - argv[0]);
}

_Noreturn static void stand_in(int argc, char **argv, char **envp) {
    static struct lineage lineage;
    struct verdict verdict;
    if (!config_sound(&config)) {
        say("agentcgroup-client: not patched for a session; it is a part of `agentcgroup run`, run that instead\n");
        sys_exit(2);
    }
    struct invocation by = {argc, argv, envp, argv_bytes(argc, argv), sys_now()};
    if (proc_place(&config) != PLACE_AGENT || sys_getpid() == config.root_pid || argc == 0)
        spawn_become(config.real, argv, envp);
    if (proc_lineage(&config, &lineage)) spawn_become(config.real, argv, envp);
    struct shell shell = {argc, argv, envp, SYS1(__NR_getsid, 0) == (long)sys_getpid()};
    rules_decide(config.rules, &lineage, &shell, &verdict);
    if (str_equal(verdict.label, "call")) call_run(&config, &by, verdict.agent);
    call_note(&config, &by, verdict.label, verdict.agent);
    spawn_become(config.real, argv, envp);
}

#ifdef HOSTED

int main(int argc, char **argv, char **envp) { stand_in(argc, argv, envp); }

#else

/* The stack holds argc, argv, NULL, envp, NULL, ... at the first instruction. */
__attribute__((used)) _Noreturn void client_entry(long *stack) {
    char **argv = (char **)(stack + 1);
    stand_in((int)stack[0], argv, argv + stack[0] + 1);
}

#if defined(__x86_64__)
__asm__(".globl _start\n"
        "_start:\n"
        "    xor %ebp, %ebp\n"
        "    mov %rsp, %rdi\n"
        "    and $-16, %rsp\n"
        "    call client_entry\n"
        "    hlt\n");
#elif defined(__aarch64__)
__asm__(".globl _start\n"
        "_start:\n"
        "    mov x29, xzr\n"
        "    mov x30, xzr\n"
        "    mov x0, sp\n"
        "    and sp, x0, #-16\n"
        "    bl client_entry\n"
        "    brk #1\n");
#endif

#endif
