# The first instructions: from 32-bit protected mode without paging to 64-bit mode with the first gigabyte mapped
# where it is. PVH: https://xenbits.xen.org/docs/unstable/misc/pvh.html; ebx holds the start info.

.set CR0_PE, 1 << 0             # protected mode
.set CR0_MP, 1 << 1             # wait instructions heed TS
.set CR0_EM, 1 << 2             # no FPU: off
.set CR0_TS, 1 << 3             # trap on the FPU's first use: off
.set CR0_NE, 1 << 5             # FPU errors are exceptions
.set CR0_WP, 1 << 16            # read-only pages are so for the kernel too
.set CR0_PG, 1 << 31
.set CR4_PAE, 1 << 5
.set MSR_EFER, 0xc0000080
.set EFER_LME, 1 << 8           # long mode
.set EFER_NXE, 1 << 11          # pages may be non-executable

.set PRESENT_WRITE, 0x3
.set PRESENT_WRITE_LARGE, 0x83

.section .note.pvh, "a", @note
    .balign 4
    .long 4                     # size of the name
    .long 4                     # size of the value
    .long 18                    # XEN_ELFNOTE_PHYS32_ENTRY
    .asciz "Xen"
    .long pvh_entry

.section .text.boot, "ax"
.code32
.global pvh_entry
pvh_entry:
    cld
    cli
    mov esp, offset boot_stack_top
    mov edi, ebx                # kernel_main(start_info, tsc)
    rdtsc
    mov [boot_tsc], eax
    mov [boot_tsc + 4], edx

    # one table per level, the lowest of 512 pages of 2 MiB
    mov eax, offset boot_directory_pointers
    or eax, PRESENT_WRITE
    mov [boot_top], eax
    mov eax, offset boot_directory
    or eax, PRESENT_WRITE
    mov [boot_directory_pointers], eax
    xor ecx, ecx
1:  mov eax, ecx
    shl eax, 21
    or eax, PRESENT_WRITE_LARGE
    mov [boot_directory + ecx * 8], eax
    inc ecx
    cmp ecx, 512
    jne 1b

    mov eax, offset boot_top
    mov cr3, eax
    mov eax, cr4
    or eax, CR4_PAE
    mov cr4, eax
    mov ecx, MSR_EFER
    rdmsr
    or eax, EFER_LME | EFER_NXE
    wrmsr
    mov eax, cr0
    and eax, ~(CR0_EM | CR0_TS)
    or eax, CR0_PG | CR0_WP | CR0_NE | CR0_MP | CR0_PE
    mov cr0, eax
    lgdt [boot_gdt_pointer]
    .byte 0xea                  # far jump to 0x08:long_mode, which this assembler does not spell
    .long long_mode
    .word 0x08

.code64
long_mode:
    mov ax, 0x10
    mov ds, ax
    mov es, ax
    mov ss, ax
    xor eax, eax
    mov fs, ax
    mov gs, ax
    mov edi, edi                # the upper half was undefined
    mov rsi, [boot_tsc]
    xor ebp, ebp                # the end of every backtrace
    call kernel_main
    ud2

# run_on_stack(top: rdi, function: rsi, argument: rdx) -> !
.section .text, "ax"
.global run_on_stack
run_on_stack:
    mov rsp, rdi
    mov rdi, rdx
    xor ebp, ebp
    call rsi
    ud2

.section .rodata
    .balign 8
boot_gdt:
    .quad 0
    .quad 0x00af9a000000ffff    # 64-bit code
    .quad 0x00cf92000000ffff    # data
boot_gdt_pointer:
    .word boot_gdt_pointer - boot_gdt - 1
    .long boot_gdt

.section .bss
    .balign 8
boot_tsc:
    .skip 8

.section .boot, "aw", @nobits
    .balign 4096
boot_top:
    .skip 4096
boot_directory_pointers:
    .skip 4096
boot_directory:
    .skip 4096
boot_stack:
    .skip 32768
boot_stack_top:
