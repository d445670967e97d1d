// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// x86-64: the bottom of every fresh stack, and the switch as a function. See
// runtime/switch.h, whose Context this file knows: sp 0, fp 8, pc 16, base 24.
//
// Assembled to nothing for other targets, so that build files may list it
// without asking for which one. The landing instructions are there always: build
// systems tend to forget -fcf-protection for assembly, and they cost nothing.

#if defined(__x86_64__) && defined(__LP64__) && defined(__ELF__)

        .text

// First code on a fresh stack: rax is what was carried, rbp the argument, rbx
// the entry, rsp the aligned end of the stack. An undefined return address is
// how unwinders, debuggers included, know the outermost frame; a zero rbp says
// the same to those that follow frame pointers.
        .globl  gochan_context_entry
        .type   gochan_context_entry, @function
        .p2align 4
gochan_context_entry:
        .cfi_startproc
        .cfi_undefined %rip
        endbr64
        movq    %rbp, %rdi
        xorl    %ebp, %ebp
        movq    %rax, %rsi
        callq   *%rbx
        ud2
        .cfi_endproc
        .size   gochan_context_entry, .-gochan_context_entry

// void* gochan_switch_context(void* carried: rdi, Context* from: rsi,
//                             const Context* to: rdx)
// Leaves by jumps only. A return would be predicted to go to whoever called
// last on this thread, which is somebody else, and costs three times as much.
        .globl  gochan_switch_context
        .type   gochan_switch_context, @function
        .p2align 4
gochan_switch_context:
        .cfi_startproc
        endbr64
        pushq   %r12
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %r12, 0
        pushq   %r13
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %r13, 0
        pushq   %r14
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %r14, 0
        pushq   %r15
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %r15, 0
        leaq    .Lresume(%rip), %rcx
        movq    %rsp, (%rsi)
        movq    %rbp, 8(%rsi)
        movq    %rcx, 16(%rsi)
        movq    %rbx, 24(%rsi)
        movq    %rdi, %rax
        movq    8(%rdx), %rbp
        movq    24(%rdx), %rbx
        movq    (%rdx), %rsp
        jmpq    *16(%rdx)
.Lresume:
        endbr64
        popq    %r15
        .cfi_adjust_cfa_offset -8
        .cfi_restore %r15
        popq    %r14
        .cfi_adjust_cfa_offset -8
        .cfi_restore %r14
        popq    %r13
        .cfi_adjust_cfa_offset -8
        .cfi_restore %r13
        popq    %r12
        .cfi_adjust_cfa_offset -8
        .cfi_restore %r12
        popq    %rcx
        .cfi_adjust_cfa_offset -8
        .cfi_register %rip, %rcx
        notrack jmpq *%rcx
        .cfi_endproc
        .size   gochan_switch_context, .-gochan_switch_context

// Says: fit for indirect branch tracking. Does not say: fit for a shadow stack,
// which a switch would leave behind. The linker grants a program only what all
// its objects claim, so a program with this one runs without a shadow stack,
// whatever the flags of the rest.
        .section .note.gnu.property, "a"
        .p2align 3
        .long   4, 16, 5
        .asciz  "GNU"
        .long   0xc0000002, 4, 1, 0

#endif

#if defined(__ELF__)
        .section .note.GNU-stack, "", %progbits
#endif
