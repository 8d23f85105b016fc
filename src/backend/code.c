/* code.c - a return address known for one, and named, by dladdr(3) and addr2line(1).
 *
 * A program's own functions have no names at run time unless it was linked with -rdynamic, so the
 * place in the file is told, and the command that makes a line of it.
 *
 * Limits: whether the bytes before an address are a call is known for x86-64 and AArch64; on
 * other machines none is.
 * Sources: Intel SDM 2, CALL; Arm ARM, BL and BLR; dladdr(3); elf(5).
 */
#include "backend/code.h"

#include "backend/peek.h"

#include <dlfcn.h>
#include <elf.h>
#include <limits.h>
#include <link.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

enum { CALL_BYTES = 7 /* the longest call, with an index and 32 bits */ };

#if defined(__x86_64__)

/* b: the bytes before the address, the last one last. */
static bool ends_in_call(const uint8_t *b)
{
    const uint8_t *end = b + CALL_BYTES;

    if (end[-5] == 0xe8) /* to a place */
        return true;
    /* By a register or by memory, opcode ff /2: 2 bytes to 7. */
    for (int len = 2; len <= CALL_BYTES; len++) {
        uint8_t mode = end[-len + 1];
        int wants = (mode & 0xc0) == 0x40 ? 3 : (mode & 0xc0) == 0x80 || mode == 0x15 ? 6 : 2;

        if ((mode & 0xc0) != 0xc0 && (mode & 7) == 4)
            wants++; /* and an index */
        if (end[-len] == 0xff && (mode & 0x38) == 0x10 && len == wants)
            return true;
    }
    return false;
}

#define ADDRESS(word) (word)

#elif defined(__aarch64__)

static bool ends_in_call(const uint8_t *b)
{
    uint32_t i;

    memcpy(&i, b + CALL_BYTES - sizeof(i), sizeof(i));
    return (i & 0xfc000000) == 0x94000000 || (i & 0xfffffc1f) == 0xd63f0000 ||
           (i & 0xfefff800) == 0xd63f0800; /* bl, blr, blraa and its like */
}

/* A return address may be signed, in the bits that addresses of 48 bits do not use. */
#define ADDRESS(word) ((word)&0xffffffffffff)

#else

static bool ends_in_call(const uint8_t *b)
{
    (void)b;
    return false;
}

#define ADDRESS(word) (word)

#endif

static bool is_return(uintptr_t pc)
{
    uint8_t before[CALL_BYTES];
    Dl_info info;

    return pc > CALL_BYTES && dladdr((void *)(pc - 1), &info) &&
           peek(before, (void *)(pc - CALL_BYTES), CALL_BYTES) && ends_in_call(before);
}

uintptr_t code_next_return(const uintptr_t *words, size_t *i, size_t n)
{
    while (*i < n) {
        uintptr_t pc = ADDRESS(words[(*i)++]);

        if (is_return(pc))
            return pc;
    }
    return 0;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

static void add_hex(struct text *t, uintptr_t n)
{
    char digits[2 * sizeof(n) + 1];
    char *p = digits + sizeof(digits) - 1;

    *p = '\0';
    do {
        *--p = "0123456789abcdef"[n & 15];
        n >>= 4;
    } while (n);
    text_add(t, "0x");
    text_add(t, p);
}

/* A return address is behind the call, and perhaps behind the function: the call itself has the
 * name and the line. */
static bool find(uintptr_t pc, Dl_info *info)
{
    return dladdr((void *)(pc - 1), info) && info->dli_fname;
}

/* What addr2line(1) calls it. */
static uintptr_t place_in_file(uintptr_t pc, const Dl_info *info)
{
    const ElfW(Ehdr) *header = info->dli_fbase;

    return header->e_type == ET_EXEC ? pc : pc - (uintptr_t)header;
}

void code_add(struct text *t, uintptr_t pc)
{
    Dl_info info;

    if (!find(pc, &info)) {
        add_hex(t, pc);
        return;
    }
    if (info.dli_sname) {
        text_add(t, info.dli_sname);
        text_add(t, "+");
        add_hex(t, pc - (uintptr_t)info.dli_saddr);
        return;
    }
    const char *file = base_name(info.dli_fname);
    text_add_escaped(t, file, strlen(file), "");
    text_add(t, "+");
    add_hex(t, place_in_file(pc, &info));
}

/* Its path; the program's own is known by what it was started as, which need not be one. */
static void add_path(struct text *t, const Dl_info *info)
{
    char path[PATH_MAX];
    Dl_info program;
    ssize_t len = -1;

    if (dladdr((void *)getauxval(AT_ENTRY), &program) && program.dli_fbase == info->dli_fbase)
        len = readlink("/proc/self/exe", path, sizeof(path));
    if (len > 0)
        text_add_escaped(t, path, (size_t)len, " ");
    else
        text_add_escaped(t, info->dli_fname, strlen(info->dli_fname), " ");
}

void code_add_command(struct text *t, const char *before, const uintptr_t *pc, size_t n)
{
    const void *file = NULL;

    for (size_t i = 0; i < n; i++) {
        Dl_info info;

        if (!find(pc[i], &info) || info.dli_sname || (file && info.dli_fbase != file))
            continue;
        if (!file) {
            text_add(t, before);
            text_add(t, "addr2line -fpie ");
            add_path(t, &info);
        }
        file = info.dli_fbase;
        text_add(t, " ");
        add_hex(t, place_in_file(pc[i] - 1, &info));
    }
}
