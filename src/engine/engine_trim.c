/* Giving memory back.
 *
 *   jemalloc   libchdb's own allocator holds what statements freed until it decays: purged by its statement
 *   pages      of the library's code and constants that were read once (start, relocation) stay in our resident
 *              set though nobody uses them: dropped; what is needed comes back from the page cache
 *
 * Only parts of the library that are never written are dropped: what the loader relocated is ours alone. */
#include "engine/engine_int.h"

#include <assert.h>
#include <link.h>
#include <sys/mman.h>
#include <unistd.h>

/* Whether the object holds this function. */
static bool holds(const struct dl_phdr_info *info, uintptr_t at)
{
    for (size_t i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        uintptr_t from = info->dlpi_addr + p->p_vaddr;
        if (p->p_type == PT_LOAD && at >= from && at < from + p->p_memsz) return true;
    }
    return false;
}

static int drop_pages(struct dl_phdr_info *info, size_t size, void *arg)
{
    (void)size;
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    if (!holds(info, (uintptr_t)arg)) return 0;
    for (size_t i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        if (p->p_type != PT_LOAD || p->p_flags & PF_W) continue;
        uintptr_t from = info->dlpi_addr + p->p_vaddr, to = from + p->p_filesz;
        from = (from + page - 1) / page * page; /* a page at an edge may be shared with another part */
        to = to / page * page;
        if (to > from) madvise((void *)from, to - from, MADV_DONTNEED); /* advice: a refusal costs nothing */
    }
    return 1;
}

void engine_drop_pages(void)
{
    uintptr_t inside = 0;
    static_assert(sizeof inside == sizeof chdb.connect, "a function's address fits");
    memcpy(&inside, &chdb.connect, sizeof inside);
    if (inside) dl_iterate_phdr(drop_pages, (void *)inside);
}
