// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// AArch64: the bottom of every fresh stack, and the switch as a function. See
// runtime/switch.h, whose Context this file knows: sp 0, fp 8, pc 16, base 24.
//
// Assembled to nothing for other targets, so that build files may list it
// without asking for which one. BTI instructions are written as hints, which
// every assembler and every processor takes.

#if defined(__aarch64__) && defined(__LP64__) && defined(__ELF__)

#define BTI_C hint #34
#define BTI_J hint #36

        .text

// First code on a fresh stack: x0 is what was carried, x29 the argument, x19
// the entry, sp the aligned end of the stack. An undefined return address is
// how unwinders, debuggers included, know the outermost frame; a zero x29 says
// the same to those that follow frame pointers.
        .globl  gochan_context_entry
        .type   gochan_context_entry, %function
        .p2align 4
gochan_context_entry:
        .cfi_startproc
        .cfi_undefined x30
        BTI_J
        mov     x1, x0
        mov     x0, x29
        mov     x29, xzr
        mov     x30, xzr
        blr     x19
        brk     #1
        .cfi_endproc
        .size   gochan_context_entry, .-gochan_context_entry

// void* gochan_switch_context(void* carried: x0, Context* from: x1,
//                             const Context* to: x2)
// Ends in `ret`, though it is mispredicted: under BTI nothing else may go back
// to a caller. Of v8 to v15 a function preserves the low halves.
        .globl  gochan_switch_context
        .type   gochan_switch_context, %function
        .p2align 4
gochan_switch_context:
        .cfi_startproc
        BTI_C
        sub     sp, sp, #144
        .cfi_def_cfa_offset 144
        stp     x20, x21, [sp]
        stp     x22, x23, [sp, #16]
        stp     x24, x25, [sp, #32]
        stp     x26, x27, [sp, #48]
        stp     x28, x30, [sp, #64]
        stp     d8, d9, [sp, #80]
        stp     d10, d11, [sp, #96]
        stp     d12, d13, [sp, #112]
        stp     d14, d15, [sp, #128]
        .cfi_rel_offset x20, 0
        .cfi_rel_offset x21, 8
        .cfi_rel_offset x22, 16
        .cfi_rel_offset x23, 24
        .cfi_rel_offset x24, 32
        .cfi_rel_offset x25, 40
        .cfi_rel_offset x26, 48
        .cfi_rel_offset x27, 56
        .cfi_rel_offset x28, 64
        .cfi_rel_offset x30, 72
        adr     x3, .Lresume
        mov     x4, sp
        stp     x4, x29, [x1]
        stp     x3, x19, [x1, #16]
        ldp     x4, x29, [x2]
        ldp     x16, x19, [x2, #16]
        mov     sp, x4
        br      x16
.Lresume:
        BTI_J
        ldp     d14, d15, [sp, #128]
        ldp     d12, d13, [sp, #112]
        ldp     d10, d11, [sp, #96]
        ldp     d8, d9, [sp, #80]
        ldp     x28, x30, [sp, #64]
        ldp     x26, x27, [sp, #48]
        ldp     x24, x25, [sp, #32]
        ldp     x22, x23, [sp, #16]
        ldp     x20, x21, [sp]
        add     sp, sp, #144
        .cfi_restore x20
        .cfi_restore x21
        .cfi_restore x22
        .cfi_restore x23
        .cfi_restore x24
        .cfi_restore x25
        .cfi_restore x26
        .cfi_restore x27
        .cfi_restore x28
        .cfi_restore x30
        .cfi_def_cfa_offset 0
        ret
        .cfi_endproc
        .size   gochan_switch_context, .-gochan_switch_context

// Says: fit for BTI, and for signed return addresses. Does not say: fit for a
// guarded control stack, which a switch would leave behind. The linker grants a
// program only what all its objects claim.
        .section .note.gnu.property, "a"
        .p2align 3
        .long   4, 16, 5
        .asciz  "GNU"
        .long   0xc0000000, 4, 3, 0

#endif

#if defined(__ELF__)
        .section .note.GNU-stack, "", %progbits
#endif
