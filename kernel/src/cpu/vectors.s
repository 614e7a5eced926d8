# One stub per vector. Each leaves the vector's number above the processor's frame (with a zero where the processor
# pushes no error code), and all general registers below: idt.rs's `Registers`.

.set vector, 0
.section .text, "ax"
    .balign 16
.global vector_stubs
vector_stubs:
.rept 128
    .balign 16
    # 8, 10-14, 17, 21, 29, 30 come with an error code
    .if !((vector == 8) | ((vector >= 10) & (vector <= 14)) | (vector == 17) | (vector == 21) | (vector == 29) | (vector == 30))
    push 0
    .endif
    push vector
    jmp vector_common
    .set vector, vector + 1
.endr

vector_common:
    push rax
    push rbx
    push rcx
    push rdx
    push rsi
    push rdi
    push rbp
    push r8
    push r9
    push r10
    push r11
    push r12
    push r13
    push r14
    push r15
    cld
    mov rdi, rsp
    # before the interrupt stacks are in use, the interrupted stack may be aligned to 8 only
    mov rbx, rsp
    and rsp, -16
    call interrupt_entry
    mov rsp, rbx
    pop r15
    pop r14
    pop r13
    pop r12
    pop r11
    pop r10
    pop r9
    pop r8
    pop rbp
    pop rdi
    pop rsi
    pop rdx
    pop rcx
    pop rbx
    pop rax
    add rsp, 16                 # vector and error code
    iretq
