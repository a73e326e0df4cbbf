/* SPDX-License-Identifier: MIT */
#include <conc.h>
#include <stdio.h>
#include <unistd.h>

static int serve(void *arg, void *result)
{
    conc_sleep(CONC_MS(10));
    kill(getpid(), SIGINT); /* Ctrl-C */
    int err = conc_sleep(CONC_S(3600));
    puts("the service tidies up");
    return err;
}

static int main_task(void *arg, void *result)
{
    conc_future *service = conc_spawn(serve, NULL, 0, 0);
    int err = conc_wait_for(service, NULL, CONC_FOREVER); /* cancels it, if we are cancelled */
    conc_future_unref(service);
    return err;
}

int main(void)
{
    sigset_t interrupt;
    sigemptyset(&interrupt);
    sigaddset(&interrupt, SIGINT);
    const conc_run_options options = {.cancel_on = &interrupt};
    int err = conc_run_with(main_task, NULL, 0, NULL, 0, &options);
    if (err == -EINTR)
        puts("interrupted");
    else if (err)
        fprintf(stderr, "interrupt: %s\n", conc_describe(err));
    return err == -EINTR ? 0 : 1;
}
