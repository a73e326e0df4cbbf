/* SPDX-License-Identifier: MIT
 *
 * switch_x86_64.S: switch.h for x86-64 (System V calling convention).
 *
 * How: a place to go on at is a stack pointer. On the stack there, from it upwards:
 *
 *      0  mxcsr (4 bytes), x87 control word (2 bytes)
 *      8  r15, r14, r13, r12, rbx, rbp
 *     56  where conc__switch() returns to
 *
 * The switch pushes this, takes the other stack pointer, and pops the same. Since both stacks have
 * the same layout the CFI below holds on both.
 *
 * How to return there: the processor predicts a `ret` from a stack of return addresses of its own,
 * which knows nothing of the switch. Where both sides switch from the same place, as tasks do to
 * one another (loop/task.c), that is right here, and for the callers' returns after it: hence
 * conc__switch() ends by `ret`. Where they don't, as in a generator, it is wrong, and an indirect
 * jump is faster, as conc__switch_apart() does; but it leaves that stack one too deep for all that
 * follows. Measured: 7.4 against 33 ns for a task that yields, 66 against 45 ns for a generator's
 * item.
 *
 * Of mxcsr and the x87 control word only the control bits belong to the caller. Loading them is
 * slow, so it is done only if they differ. Then the x87's exception flags are cleared first: one
 * that was raised here might trap there.
 *
 * Shadow stacks (CET) know nothing of this switch, so the object is not marked as fit for them (it
 * has no .note.gnu.property): then the linker and the loader leave them off. */

#define FRAME 64
#define MXCSR_CONTROL 0xffc0

#if defined(__CET__) && (__CET__ & 1)
#define LANDING endbr64
#else
#define LANDING
#endif

    .text

    .macro save register
    pushq \register
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset \register, 0
    .endm

    .macro restore register
    popq \register
    .cfi_adjust_cfa_offset -8
    .cfi_restore \register
    .endm

/* From one stack to the other; what is left on it is where to return to. */
    .macro change_stacks
    LANDING
    save %rbp
    save %rbx
    save %r12
    save %r13
    save %r14
    save %r15
    subq $8, %rsp
    .cfi_adjust_cfa_offset 8
    stmxcsr (%rsp)
    fnstcw 4(%rsp)

    movl (%rsi), %ecx
    xorl (%rsp), %ecx
    testl $MXCSR_CONTROL, %ecx
    jne 2f
1:  movzwl 4(%rsi), %ecx
    cmpw 4(%rsp), %cx
    jne 3f

4:  movq %rdx, %rax
    movq %rsp, (%rdi)
    movq %rsi, %rsp

    .cfi_remember_state
    addq $8, %rsp
    .cfi_adjust_cfa_offset -8
    restore %r15
    restore %r14
    restore %r13
    restore %r12
    restore %rbx
    restore %rbp
    .endm

/* The rare part of it. */
    .macro load_control_words
    .cfi_restore_state
2:  ldmxcsr (%rsi)
    jmp 1b
3:  fnclex
    fldcw 4(%rsi)
    jmp 4b
    .endm

    .globl conc__switch
    .hidden conc__switch
    .type conc__switch, @function
    .p2align 4
conc__switch: /* rdi: void **here, rsi: void *there, rdx: void *pass */
    .cfi_startproc
    change_stacks
    ret
    load_control_words
    .cfi_endproc
    .size conc__switch, . - conc__switch

    .globl conc__switch_apart
    .hidden conc__switch_apart
    .type conc__switch_apart, @function
    .p2align 4
conc__switch_apart: /* as conc__switch */
    .cfi_startproc
    change_stacks
    popq %rcx
    .cfi_adjust_cfa_offset -8
    .cfi_register %rip, %rcx
    notrack jmp *%rcx
    load_control_words
    .cfi_endproc
    .size conc__switch_apart, . - conc__switch_apart

    .globl conc__switch_prepare
    .hidden conc__switch_prepare
    .type conc__switch_prepare, @function
    .p2align 4
conc__switch_prepare: /* rdi: void *top, rsi: void *bottom, rdx: main, rcx: void *arg */
    .cfi_startproc
    LANDING
    leaq -FRAME(%rdi), %rax
    stmxcsr (%rax)
    fnstcw 4(%rax)
    movq $0, 8(%rax)    /* r15 */
    movq $0, 16(%rax)   /* r14 */
    movq $0, 24(%rax)   /* r13 */
    movq %rcx, 32(%rax) /* r12 */
    movq %rdx, 40(%rax) /* rbx */
    movq $0, 48(%rax)   /* rbp: the end of the chain of frames */
    leaq start(%rip), %rcx
    movq %rcx, 56(%rax)
    ret
    .cfi_endproc
    .size conc__switch_prepare, . - conc__switch_prepare

/* Where a stack begins. A walk over the frames of a stack (by a debugger, backtrace(), a C++
 * exception) ends here: there is no caller. Such a walk looks up the instruction before a return
 * address, hence the nop. */
    .type start, @function
    .p2align 4
    .cfi_startproc
    .cfi_undefined %rip
    nop
start:
    LANDING
    movq %rax, %rdi
    movq %rbx, %rsi
    movq %r12, %rdx
    call conc__switch_begin
    ud2
    .cfi_endproc
    .size start, . - start

    .section .note.GNU-stack, "", @progbits
