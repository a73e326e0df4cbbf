/* SPDX-License-Identifier: MIT
 *
 * code.c: functions across processes of one program.
 *
 * Address randomisation puts the program and its libraries at other places in each process that
 * is started by exec; within an object nothing moves. The dynamic linker lists the objects. The
 * program itself has an empty name in this list. A library that was loaded later by dlopen(3)
 * has its path there, by which it is loaded in the other process too.
 */
#include "process/code.h"

#include <dlfcn.h>
#include <link.h>
#include <string.h>

struct code_search {
    uintptr_t address; /* the object that holds it is wanted; 0: the one with `path` */
    const char *path;
    struct code_place *place; /* NULL, or where the object's path goes */
    uintptr_t base;
    bool found;
};

static bool code_has_address(const struct dl_phdr_info *object, uintptr_t address)
{
    for (size_t i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *h = &object->dlpi_phdr[i];
        if (h->p_type == PT_LOAD && address - (object->dlpi_addr + h->p_vaddr) < h->p_memsz)
            return true;
    }
    return false;
}

static int code_look_at_object(struct dl_phdr_info *object, size_t size, void *arg)
{
    struct code_search *s = arg;
    s->found =
        s->address ? code_has_address(object, s->address) : !strcmp(object->dlpi_name, s->path);
    if (!s->found)
        return 0;
    s->base = object->dlpi_addr;
    if (s->place && strlen(object->dlpi_name) < sizeof s->place->path)
        strcpy(s->place->path, object->dlpi_name);
    return 1;
}

int conc__code_find(conc_fn *fn, struct code_place *ret)
{
    struct code_search s = {.address = (uintptr_t)fn, .place = ret};
    ret->path[0] = '\0';
    dl_iterate_phdr(code_look_at_object, &s);
    ret->base = s.base;
    return s.found ? 0 : -EINVAL;
}

int conc__code_base(const char *path, uintptr_t *ret)
{
    struct code_search s = {.path = path};
    dl_iterate_phdr(code_look_at_object, &s);
    if (!s.found) {
        /* never closed: its functions are in use */
        if (!dlopen(path, RTLD_NOW | RTLD_GLOBAL))
            return conc_raise(-ENOENT, "cannot load %s: %s", path, dlerror());
        dl_iterate_phdr(code_look_at_object, &s);
    }
    if (!s.found)
        return conc_raise(-ENOENT, "cannot find %s", path);
    *ret = s.base;
    return 0;
}

/* ---- The program's constructors ---- */

/* The program is the first in the list. */
static int code_take_program(struct dl_phdr_info *object, size_t size, void *arg)
{
    *(struct dl_phdr_info *)arg = *object;
    return 1;
}

bool conc__code_is_shared(void)
{
    struct dl_phdr_info program = {0};
    dl_iterate_phdr(code_take_program, &program);
    return !code_has_address(&program, (uintptr_t)conc__code_is_shared);
}

void conc__code_construct(int argc, char **argv, char **env)
{
    typedef void constructor(int argc, char **argv, char **env);
    struct dl_phdr_info program = {0};
    constructor *init = NULL, *const *array = NULL;
    size_t size = 0;
    const ElfW(Dyn) *d = NULL;
    dl_iterate_phdr(code_take_program, &program);
    for (size_t i = 0; i < program.dlpi_phnum; i++)
        if (program.dlpi_phdr[i].p_type == PT_DYNAMIC)
            d = (const void *)(program.dlpi_addr + program.dlpi_phdr[i].p_vaddr);
    for (; d && d->d_tag != DT_NULL; d++) {
        if (d->d_tag == DT_INIT)
            init = (constructor *)(program.dlpi_addr + d->d_un.d_ptr);
        else if (d->d_tag == DT_INIT_ARRAY)
            array = (constructor *const *)(program.dlpi_addr + d->d_un.d_ptr);
        else if (d->d_tag == DT_INIT_ARRAYSZ)
            size = d->d_un.d_val;
    }
    if (init)
        init(argc, argv, env);
    for (size_t i = 0; array && i < size / sizeof *array; i++)
        array[i](argc, argv, env);
}
