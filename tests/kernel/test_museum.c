// test_museum.c - the museum's catalogue: every number and every name leads to one bug. What the
// bugs do is looked at from outside (tests/e2e/test_bugs.py), out of memory in test_oom.c.
#include "kernel/museum/bugs.h"
#include "lib/string.h"
#include "tests/kernel/ktest.h"

KTEST(museum_numbers_and_names_lead_to_one_bug) {
    KNEED(bugs_count() > 0);
    for (uint32_t n = 1; n <= bugs_count(); n++) {
        const struct bug *bug = bug_at(n);
        KNEED(bug && bug->number == n); // so none is missing, and none is there twice
        KCHECK_EQ(bugs_number(bug->name), n);
    }
    KCHECK_EQ(bug_at(0), NULL);
    KCHECK_EQ(bug_at(bugs_count() + 1), NULL);
    KCHECK_EQ(bugs_number("no-such-bug"), 0);
}
