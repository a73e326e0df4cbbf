# SPDX-License-Identifier: MIT
"""For gdb: the tasks of a program that is stopped, and where each of them stands.

    (gdb) source scripts/gdb-tasks.py
    (gdb) conc tasks            a line for each task: its address, name, state, what it waits for
    (gdb) conc backtrace TASK   where a task stands; TASK: a name, or an address of the list
    (gdb) conc backtrace        the same for all

Needs the library's debug information and, for backtraces, a live process on x86-64: the registers are set
to what the task left on its stack (lib/task/switch_x86_64.S) and then put back. Of a core file there is
the list.
"""
import gdb

STATES = ["new", "ready", "running", "parked", "ended"]
# What the switch left on a task's stack, from its stack pointer upwards; then the address to go on at.
LEFT = [("r15", 8), ("r14", 16), ("r13", 24), ("r12", 32), ("rbx", 40), ("rbp", 48), ("rip", 56)]
SP_AFTER = 64


def nodes(head):
    """The nodes of a struct list."""
    node = head
    while node:
        yield node
        node = node["next"]
        if node == head:
            return


def container(node, kind, member):
    struct = gdb.lookup_type("struct " + kind)
    offset = next(f.bitpos // 8 for f in struct.fields() if f.name == member)
    return (node.cast(gdb.lookup_type("char").pointer()) - offset).cast(struct.pointer())


def tasks():
    loops = gdb.parse_and_eval("'fork.c'::loops.list.head")
    for loop_node in nodes(loops):
        loop = container(loop_node, "conc_loop", "node")
        for task_node in nodes(loop["tasks"]["head"]):
            yield container(task_node, "task", "node")


def describe(task):
    context = task["context"]
    state = STATES[int(task["state"])]
    if int(context["blocked"]) & 1:
        state += ", blocked on " + context["blocked_on"].string()
    return "%#x  %-24s %s" % (int(task), context["name"].string(), state)


def stack_of(task):
    """(function, file:line) from the innermost outwards, or None if it isn't standing anywhere."""
    if STATES[int(task["state"])] not in ("ready", "parked") or task["resume"] == task["start"].address:
        return None
    sp = int(task["resume"]["sp"])
    word = gdb.lookup_type("unsigned long")
    registers = {name: int(gdb.Value(sp + at).cast(word.pointer()).dereference()) for name, at in LEFT}
    registers["rsp"] = sp + SP_AFTER
    newest = gdb.newest_frame()
    saved = {name: int(newest.read_register(name)) for name in registers}
    try:
        set_registers(registers)
        return list(frames())
    finally:
        set_registers(saved)


def set_registers(values):
    gdb.newest_frame().select()
    for name, value in values.items():
        gdb.execute("set $%s = %d" % (name, value))


def frames():
    frame = gdb.newest_frame()
    while frame:
        sal = frame.find_sal()
        yield frame.name() or "??", "%s:%d" % (sal.symtab.filename, sal.line) if sal.symtab else ""
        frame = frame.older()


class Conc(gdb.Command):
    """What libconc's tasks are doing."""

    def __init__(self):
        super().__init__("conc", gdb.COMMAND_STACK, prefix=True)


class Tasks(gdb.Command):
    """conc tasks: a line for each task."""

    def __init__(self):
        super().__init__("conc tasks", gdb.COMMAND_STACK)

    def invoke(self, argument, from_tty):
        for task in tasks():
            print(describe(task))


class Backtrace(gdb.Command):
    """conc backtrace [TASK]: where a task stands, or all of them."""

    def __init__(self):
        super().__init__("conc backtrace", gdb.COMMAND_STACK)

    def invoke(self, argument, from_tty):
        for task in tasks():
            wanted = (task["context"]["name"].string(), "%#x" % int(task))
            if argument and argument not in wanted:
                continue
            print(describe(task))
            stack = stack_of(task)
            for number, (name, place) in enumerate(stack or []):
                print("    #%-2d %s  %s" % (number, name, place))


Conc()
Tasks()
Backtrace()
