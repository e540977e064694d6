/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * A whole guest in one boot sector, for tests of the driver: it boots in a second and can do what
 * the tests watch for. It lets go at once of any device that it is asked for (as ACPI's _EJ0 does),
 * obeys the power button, and counts in its memory. On its serial line it takes
 *
 *   p       goes off            s       prints "guest: up" for ever
 *   c       prints "count XXXXXXXX"
 *   wNX     fills sector 1 of its N-th disk with X        rNX    prints "read C" of what is there
 */
#define SERIAL 0x3f8
#define LSR 0x3fd
#define PM1_STS 0x600
#define PM1_EN 0x602
#define PM1_CNT 0x604
#define PCIHP 0xcc0 /* docs/specs/acpi_pci_hotplug.rst in QEMU's sources */
#define BUSES 80
#define COUNT 0x7e00
#define PACKET 0x7e10
#define SECTOR 0x8000

        .section .rodata
        .globl test_guest, test_guest_end
        .code16
test_guest:
        .set base, test_guest - 0x7c00
        cli
        xor %ax, %ax
        mov %ax, %ds
        mov %ax, %es
        mov %ax, %ss
        mov $0x7c00, %sp
        ljmp $0, $(start - base)
start:
        cld
        movl $0, COUNT
        mov $(up - base), %si
        call print
        mov $PM1_EN, %dx
        mov $0x100, %ax
        out %ax, %dx

again:  incl COUNT
        movl $0x80000, %ecx     /* each port it reads stops QEMU's main loop: not all the time */
idle:   decl %ecx
        jnz idle
        mov $PM1_STS, %dx
        in %dx, %ax
        test $0x100, %ax
        jnz off
        call let_go
        call input_ready
        jz again
        call input
        cmp $'p', %al
        je off
        cmp $'c', %al
        je count
        cmp $'s', %al
        je spam
        cmp $'r', %al
        je disk
        cmp $'w', %al
        je disk
        jmp again

off:    mov $(down - base), %si
        call print
        mov $PM1_CNT, %dx
        mov $0x2000, %ax
        out %ax, %dx
halt:   hlt
        jmp halt

spam:   mov $(up - base), %si
        call print
        jmp spam

count:  mov $(count_is - base), %si
        call print
        mov COUNT, %ebx
        mov $8, %cx
digit:  rol $4, %ebx
        mov %bl, %al
        and $15, %al
        cmp $10, %al
        sbb $0x69, %al
        das
        call put
        loop digit
        jmp line

/* %al: 'r' or 'w'; then a digit and the character. */
disk:   mov %al, %bh
        call input_wait
        sub $('0' - 0x80), %al
        mov %al, %dl
        call input_wait
        mov $SECTOR, %di
        mov $512, %cx
        rep stosb
        mov $0x43, %ah          /* write, without verifying */
        cmp $'w', %bh
        je go
        mov $0x42, %ah
go:     mov $PACKET, %si
        movl $0x00010010, (%si)
        movl $SECTOR, 4(%si)
        movl $1, 8(%si)
        movl $0, 12(%si)
        xor %al, %al
        int $0x13
        cli
        mov $(read_is - base), %si
        call print
        mov SECTOR, %al
        call put
line:   mov $(end - base), %si
        call print
        jmp again

/* Whatever is to go, on any bus. */
let_go: xor %ebx, %ebx
bus:    mov $(PCIHP + 0x10), %dx
        mov %ebx, %eax
        out %eax, %dx
        mov $(PCIHP + 4), %dx
        in %dx, %eax
        test %eax, %eax
        jz next
        mov $(PCIHP + 8), %dx
        out %eax, %dx
next:   inc %bx
        cmp $BUSES, %bx
        jb bus
        ret

input_ready:
        push %dx
        mov $LSR, %dx
        in %dx, %al
        pop %dx
        test $1, %al
        ret
input_wait:
        call input_ready
        jz input_wait
input:  push %dx
        mov $SERIAL, %dx
        in %dx, %al
        pop %dx
        ret

print:  lodsb
        test %al, %al
        jz done
        call put
        jmp print
done:   ret

put:    push %dx
        push %ax
        mov $LSR, %dx
full:   in %dx, %al
        test $0x20, %al
        jz full
        pop %ax
        mov $SERIAL, %dx
        out %al, %dx
        pop %dx
        ret

up:     .asciz "guest: up\r\n"
down:   .asciz "guest: off\r\n"
count_is: .asciz "count "
read_is: .asciz "read "
end:    .asciz "\r\n"
        .org 510
        .byte 0x55, 0xaa
test_guest_end:
        .section .note.GNU-stack, "", @progbits
