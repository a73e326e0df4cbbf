/* SPDX-License-Identifier: MIT
 *
 * switch_aarch64.S: switch.h for 64-bit ARM (AAPCS64).
 *
 * How: a place to go on at is a stack pointer. On the stack there, from it upwards:
 *
 *      0  x29 (frame pointer), x30 (where conc__switch() returns to)
 *     16  x19 to x28
 *     96  d8 to d15 (of v8 to v15 only the lower halves belong to the caller)
 *    160  fpcr: how to compute; written to the register only if it differs, since that is slow
 *
 * The switch stores this, takes the other stack pointer, and loads the same. Since both stacks have
 * the same layout the CFI below holds on both.
 *
 * Branch target identification: the functions begin with a landing pad (a hint, a no-op on older
 * cores) and the object says so. The switch returns by `ret`, which needs no pad on the other side;
 * any other jump would, so conc__switch_apart() is the same.
 * Guarded control stacks know nothing of this switch, so the object is not marked as fit for them.
 */

#define FRAME 176
#define BTI_C hint #34

    .text

    .globl conc__switch, conc__switch_apart
    .hidden conc__switch, conc__switch_apart
    .type conc__switch, %function
    .type conc__switch_apart, %function
    .p2align 4
conc__switch_apart:
conc__switch: /* x0: void **here, x1: void *there, x2: void *pass */
    .cfi_startproc
    BTI_C
    stp x29, x30, [sp, #-FRAME]!
    .cfi_adjust_cfa_offset FRAME
    .cfi_rel_offset x29, 0
    .cfi_rel_offset x30, 8
    stp x19, x20, [sp, #16]
    stp x21, x22, [sp, #32]
    stp x23, x24, [sp, #48]
    stp x25, x26, [sp, #64]
    stp x27, x28, [sp, #80]
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    .cfi_rel_offset x19, 16
    .cfi_rel_offset x20, 24
    .cfi_rel_offset x21, 32
    .cfi_rel_offset x22, 40
    .cfi_rel_offset x23, 48
    .cfi_rel_offset x24, 56
    .cfi_rel_offset x25, 64
    .cfi_rel_offset x26, 72
    .cfi_rel_offset x27, 80
    .cfi_rel_offset x28, 88
    mrs x9, fpcr
    str x9, [sp, #160]

    mov x10, sp
    str x10, [x0]
    mov sp, x1
    mov x0, x2

    ldr x10, [sp, #160]
    cmp x9, x10
    b.eq 1f
    msr fpcr, x10
1:  ldp x19, x20, [sp, #16]
    ldp x21, x22, [sp, #32]
    ldp x23, x24, [sp, #48]
    ldp x25, x26, [sp, #64]
    ldp x27, x28, [sp, #80]
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    ldp x29, x30, [sp], #FRAME
    .cfi_adjust_cfa_offset -FRAME
    .cfi_restore x19
    .cfi_restore x20
    .cfi_restore x21
    .cfi_restore x22
    .cfi_restore x23
    .cfi_restore x24
    .cfi_restore x25
    .cfi_restore x26
    .cfi_restore x27
    .cfi_restore x28
    .cfi_restore x29
    .cfi_restore x30
    ret
    .cfi_endproc
    .size conc__switch, . - conc__switch

    .globl conc__switch_prepare
    .hidden conc__switch_prepare
    .type conc__switch_prepare, %function
    .p2align 4
conc__switch_prepare: /* x0: void *top, x1: void *bottom, x2: main, x3: void *arg */
    .cfi_startproc
    BTI_C
    sub x0, x0, #FRAME
    adr x9, start
    stp xzr, x9, [x0] /* x29: the end of the chain of frames */
    stp x2, x3, [x0, #16]
    stp xzr, xzr, [x0, #32]
    stp xzr, xzr, [x0, #48]
    stp xzr, xzr, [x0, #64]
    stp xzr, xzr, [x0, #80]
    stp xzr, xzr, [x0, #96]
    stp xzr, xzr, [x0, #112]
    stp xzr, xzr, [x0, #128]
    stp xzr, xzr, [x0, #144]
    mrs x9, fpcr
    str x9, [x0, #160]
    ret
    .cfi_endproc
    .size conc__switch_prepare, . - conc__switch_prepare

/* Where a stack begins. A walk over the frames of a stack (by a debugger, backtrace(), a C++
 * exception) ends here: there is no caller. Such a walk looks up the instruction before a return
 * address, hence the nop. */
    .type start, %function
    .p2align 4
    .cfi_startproc
    .cfi_undefined x30
    nop
start:
    mov x1, x19
    mov x2, x20
    bl conc__switch_begin
    brk #1
    .cfi_endproc
    .size start, . - start

/* GNU_PROPERTY_AARCH64_FEATURE_1_AND: BTI. */
    .section .note.gnu.property, "a"
    .p2align 3
    .word 4
    .word 16
    .word 5
    .asciz "GNU"
    .word 0xc0000000
    .word 4
    .word 1
    .word 0

    .section .note.GNU-stack, "", %progbits
