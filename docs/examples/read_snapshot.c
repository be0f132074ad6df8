/* Prints the positions in a snapshot, one a line, written from docs/api.md alone.
 *
 *   cc -std=c11 -O2 -o read_snapshot read_snapshot.c
 *   ./read_snapshot /run/hlposmon/snapshot
 *
 * Columns, separated by tabs: account, key, symbol, size, entry price, mark price, unrealized P&L,
 * verdict, reason, proof, as of (Unix milliseconds; empty: not known). Exit status: 0 the writer is live, 1 it is not (every verdict says stale) or a block
 * could not be read, 2 usage, 3 no snapshot, 4 no permission.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { BLOCK = 1024, GUARDED = 1020, LOOKS = 1000, LOOKS_AT_ONCE = 16, LOOKS_AT_THE_DEAD = 50, LIMIT_S = 5 };

struct header {
    uint64_t sequence;
    char magic[8];
    uint32_t layout, block_size, capacity, used, pid, reserved;
    uint64_t beat_ns;
    int64_t beat_wall_ms;
    uint64_t seq;
    char mode[16], state[16], status[16], boot_id[40];
    char unused[868];
    uint32_t checksum;
};

struct record {
    uint64_t sequence;
    int64_t last_updated_ms, last_fill_ms;
    uint64_t fills;
    char account[32], key[64], symbol[48], verdict[16], verdict_reason[96];
    char size[32], entry_price[32], mark_price[32], unrealized_pnl[32], realized_pnl[32], fees[32];
    char funding[32], notional_value[32], leverage[32], margin_used[32], liquidation_price[32];
    uint64_t as_of_ms, block;
    char proof[16], unused[348];
    uint32_t checksum;
};

_Static_assert(sizeof(struct header) == BLOCK, "the header is one block");
_Static_assert(sizeof(struct record) == BLOCK, "a record is one block");

static uint32_t crc32_of(const unsigned char *bytes, size_t length) {
    uint32_t crc = 0xffffffffu;
    while (length--) {
        crc ^= *bytes++;
        for (int bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ (0xedb88320u & (0u - (crc & 1u)));
    }
    return ~crc;
}

static uint64_t monotonic_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static double age_s(const struct header *header) {
    uint64_t now = monotonic_ns();
    return now > header->beat_ns ? (double)(now - header->beat_ns) / 1e9 : 0.0;
}

/* A whole copy of one block, or false when it was torn at every look. The pauses leave the processor to a
 * writer that was preempted in mid-write; header is NULL while it has not been read. */
static bool read_block(const unsigned char *file, uint32_t index, void *copy, const struct header *header) {
    const unsigned char *block = file + (size_t)index * BLOCK;
    const uint64_t *word = (const uint64_t *)block;
    for (int look = 0; look < LOOKS; look++) {
        uint64_t before = __atomic_load_n(word, __ATOMIC_ACQUIRE);
        memcpy(copy, block, BLOCK);
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        uint64_t after = __atomic_load_n(word, __ATOMIC_RELAXED);
        uint32_t checksum;
        memcpy(&checksum, (unsigned char *)copy + GUARDED, sizeof checksum);
        if (before % 2 == 0 && before == after && crc32_of(copy, GUARDED) == checksum) return true;
        if (header && look >= LOOKS_AT_THE_DEAD) {
            bool gone = kill((pid_t)header->pid, 0) && errno == ESRCH;
            if (gone || age_s(header) > LIMIT_S) return false;
        }
        if (look < LOOKS_AT_ONCE) sched_yield();
        else nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    return false;
}

/* Why nothing in this file may be believed now; empty when it may. */
static void doubt(const struct header *header, char *reason, size_t room) {
    char boot[41] = "";
    FILE *file = fopen("/proc/sys/kernel/random/boot_id", "r");
    if (file) {
        if (fscanf(file, "%40s", boot) != 1) boot[0] = 0;
        fclose(file);
    }
    reason[0] = 0;
    if (!strncmp(header->state, "closed", 16) || !strncmp(header->state, "replaced", 16))
        snprintf(reason, room, "monitor stopped");
    else if (strncmp(header->boot_id, boot, 40))
        snprintf(reason, room, "written before the last boot");
    else if (!strncmp(header->state, "starting", 16))
        snprintf(reason, room, "writer has not beaten yet");
    else if (age_s(header) > LIMIT_S)
        snprintf(reason, room, "writer silent for %.1f s", age_s(header));
}

#define TEXT(field) (int)sizeof(field), field

int main(int argc, char **argv) {
    if (argc != 2) return fprintf(stderr, "usage: %s SNAPSHOT\n", argv[0]), 2;
    int fd = open(argv[1], O_RDONLY | O_CLOEXEC);
    if (fd < 0) return perror(argv[1]), errno == EACCES ? 4 : 3;
    struct stat status;
    if (fstat(fd, &status) || status.st_size < BLOCK) return fprintf(stderr, "not a snapshot\n"), 3;
    const unsigned char *file = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_SHARED, fd, 0);
    if (file == MAP_FAILED) return perror("mmap"), 1;

    struct header header;
    if (!read_block(file, 0, &header, NULL)) return fprintf(stderr, "the header cannot be read\n"), 1;
    if (memcmp(header.magic, "HLPOSMON", 8) || header.layout != 1 || header.block_size != BLOCK)
        return fprintf(stderr, "not a snapshot of layout 1\n"), 1;
    if ((off_t)(header.used + (uint64_t)1) * BLOCK > status.st_size)
        return fprintf(stderr, "the file is too short\n"), 1;

    char reason[96];
    doubt(&header, reason, sizeof reason);
    for (uint32_t slot = 1; slot <= header.used; slot++) {
        struct record r;
        if (!read_block(file, slot, &r, &header))
            return fprintf(stderr, "slot %" PRIu32 " cannot be read\n", slot), 1;
        printf("%.*s\t%.*s\t%.*s\t%.*s\t%.*s\t%.*s\t%.*s\t", TEXT(r.account), TEXT(r.key), TEXT(r.symbol),
               TEXT(r.size), TEXT(r.entry_price), TEXT(r.mark_price), TEXT(r.unrealized_pnl));
        if (reason[0]) printf("stale\t%s", reason);
        else printf("%.*s\t%.*s", TEXT(r.verdict), TEXT(r.verdict_reason));
        printf("\t%.*s\t", TEXT(r.proof));
        if (r.as_of_ms) printf("%" PRIu64, r.as_of_ms);
        printf("\n");
    }
    return reason[0] ? 1 : 0;
}
