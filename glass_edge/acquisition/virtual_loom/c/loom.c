/* Cloth and control files of one loom: see loom.h for what is promised. */
#include "loom.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static void *map_file(const char *folder, const char *name, int flags, int protection, size_t least, uint64_t *size, int *fd) {
    char path[4096];
    struct stat status;
    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path) return NULL;
    *fd = open(path, flags | O_CLOEXEC);
    if (*fd < 0) return NULL;
    void *map = MAP_FAILED;
    if (fstat(*fd, &status) == 0 && (size_t)status.st_size >= least) {
        *size = (uint64_t)status.st_size;
        map = mmap(NULL, *size, protection, MAP_SHARED, *fd, 0);
    }
    if (map != MAP_FAILED) return map;
    close(*fd);
    *fd = -1;
    return NULL;
}

static bool is_sound(const ClothHeader *cloth, uint64_t bytes) {
    if (memcmp(cloth->magic, "GELINES1", 8) != 0) return false;
    if (cloth->width_px < 4 || cloth->width_px > 65536 || cloth->lines < 1 || cloth->counts_per_line < 1) return false;
    if (cloth->channels != 1 && cloth->channels != 3) return false;
    uint64_t row_bytes = (uint64_t)cloth->width_px * cloth->channels;
    return (bytes - CLOTH_PIXELS_AT) / row_bytes >= cloth->lines;
}

bool loom_open(Loom *loom, const char *folder) {
    int cloth_fd;
    uint64_t control_bytes;
    memset(loom, 0, sizeof *loom);
    loom->control_fd = -1;
    void *cloth = map_file(folder, CLOTH_FILE, O_RDONLY, PROT_READ, CLOTH_PIXELS_AT + 4, &loom->cloth_bytes, &cloth_fd);
    if (cloth == NULL) return false;
    close(cloth_fd);
    loom->cloth = cloth;
    loom->pixels = (const uint8_t *)cloth + CLOTH_PIXELS_AT;
    if (is_sound(loom->cloth, loom->cloth_bytes))
        loom->control = map_file(folder, CONTROL_FILE, O_RDWR, PROT_READ | PROT_WRITE, sizeof(Control), &control_bytes,
                                 &loom->control_fd);
    if (loom->control != NULL && memcmp(loom->control->magic, "GECNTRL1", 8) == 0) return true;
    loom_close(loom);
    return false;
}

void loom_close(Loom *loom) {
    if (loom->cloth != NULL) munmap((void *)loom->cloth, loom->cloth_bytes);
    if (loom->control != NULL) munmap(loom->control, sizeof(Control));
    if (loom->control_fd >= 0) close(loom->control_fd);
    memset(loom, 0, sizeof *loom);
    loom->control_fd = -1;
}

uint64_t monotonic_ns(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

uint64_t loom_time_ns(const Loom *loom) { return monotonic_ns() - LOAD(loom->control->held_ns); }

void loom_start(const Loom *loom, uint64_t loom_ns) {
    if (LOAD(loom->control->started_ns) == 0) STORE(loom->control->started_ns, loom_ns);
}

void loom_hold(const Loom *loom, double ns) {
    if (ns > 0) ADD(loom->control->held_ns, (uint64_t)ns);
}

typedef struct {
    uint64_t since_ns;
    int64_t from_count, end_count;
    double counts_hz;
} Motion;

static Motion motion_of(const Loom *loom) {
    Control *control = loom->control;
    Motion motion = {0, 0, 0, 0};
    for (int attempt = 0; attempt < 1000; attempt++) { /* a writer that died half-way must not hang the camera */
        uint64_t version = LOAD(control->motion_version);
        motion.since_ns = LOAD(control->motion_since_ns);
        motion.from_count = LOAD(control->motion_from_count);
        motion.end_count = LOAD(control->motion_end_count);
        __atomic_load(&control->motion_counts_hz, &motion.counts_hz, __ATOMIC_ACQUIRE);
        if (version % 2 == 0 && version == LOAD(control->motion_version)) break;
    }
    if (motion.since_ns == 0) motion.since_ns = LOAD(control->started_ns);
    if (!isfinite(motion.counts_hz)) motion.counts_hz = 0;
    return motion;
}

double loom_speed_counts_hz(const Loom *loom) { return motion_of(loom).counts_hz; }

double loom_count_at(const Loom *loom, double loom_ns, double *counts_hz) {
    Motion motion = motion_of(loom);
    if (counts_hz != NULL) *counts_hz = motion.counts_hz;
    if (motion.since_ns == 0) return (double)motion.from_count;
    double count = (double)motion.from_count + motion.counts_hz * (loom_ns - (double)motion.since_ns) * 1e-9;
    return count > (double)motion.end_count ? (double)motion.end_count : count;
}

const uint8_t *loom_row(const Loom *loom, int64_t count) {
    const ClothHeader *cloth = loom->cloth;
    int64_t period = (int64_t)cloth->lines * cloth->counts_per_line;
    int64_t within = count % period;
    if (within < 0) within += period;
    return loom->pixels + (uint64_t)(within / cloth->counts_per_line) * cloth->width_px * cloth->channels;
}

uint64_t loom_losses(const Loom *loom) { return LOAD(loom->control->losses); }

bool loom_is_lost(const Loom *loom) { return monotonic_ns() < LOAD(loom->control->found_ns); }
