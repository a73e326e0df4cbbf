/* SPDX-License-Identifier: MIT */
#include <conc.h>
#include <stdio.h>

static conc_event rung = CONC_EVENT_INIT;
static const char *rings[2];
static int n_rings; /* one timer rings, and its join comes before the reading: no lock */

static int ring(void *arg, void *result)
{
    rings[n_rings++] = *(const char **)arg;
    conc_event_set(&rung);
    return 0;
}

static int run(void)
{
    const char *what[] = {"the bell", "the alarm"};
    conc_timer *bell, *alarm;
    int err = conc_event_wait(&rung, conc_in(CONC_MS(10)));
    printf("rung yet: %s\n", err ? "False" : "True");

    err = conc_timer_start(&bell, CONC_MS(50), ring, &what[0], sizeof what[0]);
    if (err)
        return err;
    err = conc_timer_start(&alarm, CONC_S(3600), ring, &what[1], sizeof what[1]);
    if (err) {
        conc_timer_free(bell);
        return err;
    }
    err = conc_event_wait(&rung, conc_in(CONC_S(60)));
    printf("rung: %s\n", err ? "False" : "True");
    conc_timer_cancel(alarm);
    conc_timer_join(alarm, CONC_FOREVER); /* -ECANCELED: that it was cancelled */
    err = conc_timer_join(bell, CONC_FOREVER);
    conc_timer_free(alarm);
    conc_timer_free(bell);

    printf("by:");
    for (int i = 0; i < n_rings; i++)
        printf(" %s", rings[i]);
    puts("");
    return err;
}

int main(void)
{
    int err = run();
    if (err)
        fprintf(stderr, "event_timer: %s\n", conc_describe(err));
    return err ? 1 : 0;
}
