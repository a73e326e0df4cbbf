/* SPDX-License-Identifier: MIT
 *
 * snippets.c: the code that the public headers' comments show, so that the compiler sees it.
 * check_snippets.py finds a line there that is not here.
 */
#include <conc.h>

conc_fn square;
conc_fn fetch;
int fetch_and_store(void);
int raise_example(const char *url, int status);
int scope_example(void);
void with_example(void);
int executor_example(void);
int thread_example(const char *url);

int raise_example(const char *url, int status)
{
    return conc_raise(-EIO, "%s: bad status %d", url, status);
}

int scope_example(void)
{
    conc_scope scope;
    conc_scope_enter(&scope, conc_in(CONC_S(5)));
    int err = fetch_and_store();
    int why = conc_scope_exit(&scope);
    return why ? why : err;
}

static int counter;

void with_example(void)
{
    static conc_lock lock = CONC_LOCK_INIT;
    conc_with_lock (&lock) {
        counter++;
    }
}

int executor_example(void)
{
    int n = 3, answer;
    conc_executor *pool;
    int err = conc_thread_pool_new(&pool, 4, NULL);
    if (err)
        return err;
    conc_future *f = conc_submit(pool, square, &n, sizeof n, sizeof(int));
    err = conc_future_result(f, &answer, CONC_FOREVER);
    conc_future_unref(f);
    conc_executor_free(pool);
    return err ? err : answer;
}

int thread_example(const char *url)
{
    conc_thread *t;
    int err = conc_thread_start(&t, fetch, &url, sizeof url, NULL);
    if (err)
        return err;
    err = conc_thread_join(t, NULL, CONC_FOREVER);
    conc_thread_free(t);
    return err;
}
