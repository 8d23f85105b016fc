/* switch_aarch64.S - where a new stack starts on AArch64.
 *
 * switch.h's jump comes here first, with the entry at the stack pointer and its argument
 * above.  The stack pointer is a multiple of 16, as it must always be.  Debuggers see the
 * outermost frame here: there is no address to return to, so their walk ends.
 *
 * hint 36 is `bti j`: a jump may land here.
 * Sources: AAPCS64 6.4.5 (the stack), 6.4.6 (the frame chain ends in 0).
 */
        .text
        .globl  switch_start
        .hidden switch_start
        .type   switch_start, %function
        .p2align 4
switch_start:
        .cfi_startproc
        .cfi_undefined x30
        hint    #36
        ldp     x9, x0, [sp]
        mov     x29, xzr
        mov     x30, xzr
        blr     x9
        brk     #1
        .cfi_endproc
        .size   switch_start, . - switch_start

        .section .note.GNU-stack, "", %progbits
