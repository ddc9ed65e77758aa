/* Deciding by the rule table; the contract is in rules.h. */
#include "rules.h"

static const char *const LABELS[] = {"call", "probe", "hook", "helper", NULL};

/* Takes the next line with at least one field; `first` is that field, `line` what follows it. */
static bool next_line(struct piece *rest, struct piece *first, struct piece *line) {
    while (piece_split(rest, '\n', line)) {
        if (piece_split(line, '\t', first) && first->size > 0) return true;
    }
    return false;
}

static bool is_called(const struct ancestor *who, struct piece name) {
    if (name.size == 0) return false;
    return piece_equal(name, who->name) || piece_equal(name, who->script);
}

static bool any_name(struct piece names, const struct ancestor *who) {
    struct piece name;
    while (piece_split(&names, '\t', &name))
        if (is_called(who, name)) return true;
    return false;
}

/* The ID of a `force` line, or an empty piece. */
static struct piece forced_agent(struct piece table) {
    struct piece first, line, id;
    while (next_line(&table, &first, &line))
        if (piece_equal(first, "force") && piece_split(&line, '\t', &id)) return id;
    return (struct piece){"", 0};
}

static bool is_launcher(struct piece table, const struct ancestor *who) {
    struct piece first, line;
    while (next_line(&table, &first, &line))
        if (piece_equal(first, "launchers") && any_name(line, who)) return true;
    return false;
}

/* The agent, among those that `forced` allows, whose section has a name of this process. */
static bool known_agent(struct piece table, struct piece forced, const struct ancestor *who, struct piece *id) {
    struct piece first, line;
    while (next_line(&table, &first, &line)) {
        if (!piece_equal(first, "agent") || !piece_split(&line, '\t', id) || id->size == 0) continue;
        if (forced.size > 0 && !(id->size == forced.size && piece_begins(*id, forced))) continue;
        if (any_name(line, who)) return true;
    }
    return false;
}

/* Finds the agent process among the ancestors: its index, or -1. `id` is set in any case. */
static int find_agent(struct piece table, const struct lineage *lineage, struct piece *id) {
    struct piece forced = forced_agent(table), known;
    *id = forced.size > 0 ? forced : piece_of("generic");
    if (!lineage->complete || lineage->count == 0) return -1;
    if (piece_equal(forced, "command")) return (int)lineage->count - 1;
    for (unsigned i = 0; i < lineage->count; i++) {
        if (!known_agent(table, forced, &lineage->ancestor[i], &known)) continue;
        *id = known;
        return (int)i;
    }
    for (unsigned i = lineage->count; i-- > 0;)
        if (!is_launcher(table, &lineage->ancestor[i])) return (int)i;
    return -1;
}

static bool all_hold(struct piece conditions, const struct shell *shell, bool child) {
    struct piece condition;
    while (piece_split(&conditions, '\t', &condition))
        if (!rules_condition(condition, shell, child)) return false;
    return true;
}

static const char *known_label(struct piece text) {
    for (const char *const *label = LABELS; *label; label++)
        if (piece_equal(text, *label)) return *label;
    return NULL;
}

/* The label of the first rule that matches in the section of agent `id`, or NULL. */
static const char *matching_rule(struct piece table, struct piece id, const struct shell *shell, bool child) {
    struct piece first, line, field;
    bool inside = false;
    while (next_line(&table, &first, &line)) {
        if (piece_equal(first, "agent"))
            inside = piece_split(&line, '\t', &field) && field.size == id.size && piece_begins(field, id);
        if (!inside || !piece_equal(first, "rule") || !piece_split(&line, '\t', &field)) continue;
        const char *label = known_label(field);
        if (label && all_hold(line, shell, child)) return label;
    }
    return NULL;
}

void rules_decide(const char *text, const struct lineage *lineage, const struct shell *shell,
                  struct verdict *verdict) {
    struct piece table = piece_of(text), id;
    int agent = find_agent(table, lineage, &id);
    str_copy(verdict->agent, sizeof verdict->agent, id);
    if (agent < 0 && lineage->complete) {
        verdict->label = "launcher";
        return;
    }
    verdict->label = matching_rule(table, id, shell, agent == 0);
    if (verdict->label) return;
    bool plain = piece_equal(id, "generic") || piece_equal(id, "command");
    verdict->label = plain ? "call" : "helper";
}
