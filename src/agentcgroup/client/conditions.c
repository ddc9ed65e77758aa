/* One condition of a rule, such as `arg2~/shell-snapshots/`; the contract is in rules.h. */
#include "rules.h"

#include "sys.h"

static struct piece after(struct piece text, size_t size) { return (struct piece){text.at + size, text.size - size}; }

static bool named(struct piece condition, const char *prefix, struct piece *rest) {
    struct piece with = piece_of(prefix);
    if (!piece_begins(condition, with)) return false;
    *rest = after(condition, with.size);
    return true;
}

static bool compare(struct piece argument, char how, struct piece text) {
    switch (how) {
    case '=':
        return argument.size == text.size && piece_begins(argument, text);
    case '^':
        return piece_begins(argument, text);
    case '$':
        return piece_ends(argument, text);
    default:
        return piece_contains(argument, text);
    }
}

/* `rest` is what follows `arg`: a number, an operator, a text. */
static bool argument_holds(struct piece rest, const struct shell *shell) {
    size_t digits = 0;
    while (digits < rest.size && rest.at[digits] >= '0' && rest.at[digits] <= '9') digits++;
    uint32_t index;
    if (!piece_number((struct piece){rest.at, digits}, &index)) return false;
    rest = after(rest, digits);
    bool negated = rest.size > 1 && rest.at[0] == '!' && rest.at[1] == '~';
    if (negated) rest = after(rest, 1);
    if (rest.size == 0 || (rest.at[0] != '=' && rest.at[0] != '^' && rest.at[0] != '$' && rest.at[0] != '~'))
        return false;
    if (index >= (uint32_t)shell->argc) return negated;
    return compare(piece_of(shell->argv[index]), rest.at[0], after(rest, 1)) != negated;
}

bool rules_condition(struct piece condition, const struct shell *shell, bool child) {
    struct piece rest;
    uint32_t number;
    if (piece_equal(condition, "sid")) return shell->session_leader;
    if (piece_equal(condition, "nosid")) return !shell->session_leader;
    if (piece_equal(condition, "tty")) return sys_is_terminal(0);
    if (piece_equal(condition, "notty")) return !sys_is_terminal(0);
    if (piece_equal(condition, "child")) return child;
    if (piece_equal(condition, "nochild")) return !child;
    if (named(condition, "argc=", &rest)) return piece_number(rest, &number) && number == (uint32_t)shell->argc;
    if (named(condition, "env=", &rest)) return rest.size > 0 && env_value(shell->envp, rest) != NULL;
    if (named(condition, "noenv=", &rest)) return rest.size > 0 && env_value(shell->envp, rest) == NULL;
    if (named(condition, "arg", &rest)) return argument_holds(rest, shell);
    return false;
}
