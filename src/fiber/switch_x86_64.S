/* switch_x86_64.S - where a new stack starts on x86-64.
 *
 * switch.h's jump comes here first, with the entry at the stack pointer and its argument
 * above.  The stack pointer is a multiple of 16, as it must be at a call.  Debuggers see
 * the outermost frame here: there is no address to return to, so their walk ends.
 *
 * No .note.gnu.property: the linker then marks the program as not ready for shadow
 * stacks, which the jump is not.
 * Sources: System V ABI AMD64 3.2.2 (the stack frame); DWARF 5, 6.4.4 (undefined rule).
 */
        .text
        .globl  switch_start
        .hidden switch_start
        .type   switch_start, @function
        .p2align 4
switch_start:
        .cfi_startproc
        .cfi_undefined %rip
        endbr64
        movq    8(%rsp), %rdi
        xorl    %ebp, %ebp
        callq   *(%rsp)
        ud2
        .cfi_endproc
        .size   switch_start, . - switch_start

        .section .note.GNU-stack, "", @progbits
