/* The loom a camera looks at: its cloth, its encoder and the faults ordered from outside.
 *
 * Promises: everything that must outlive a reload of this library (position of the web, losses, orders) lies in the
 * mapped control file; each field has one writer, so a reader never sees half a command. The Python side of the two
 * layouts is virtual_loom/loom.py.
 */
#ifndef LOOM_H
#define LOOM_H

#include <stdbool.h>
#include <stdint.h>

#define CLOTH_FILE "cloth.lines"
#define CONTROL_FILE "control"
#define CLOTH_PIXELS_AT 4096

typedef struct {
    char magic[8]; /* "GELINES1" */
    uint32_t width_px;
    uint32_t lines;
    uint32_t channels;        /* 1 grey, 3 RGB */
    uint32_t counts_per_line; /* encoder counts from one line of the cloth to the next */
    double line_rate_hz;      /* line rate after power-up */
    char user_id[64];
} ClothHeader;

/* Orders are counts that only grow: ordered is written by the person's side, done by the producer. */
typedef struct {
    uint64_t incomplete, drop, missed_trigger, bad_chunk, crash, spare[3];
} Orders;

typedef struct {
    char magic[8];            /* "GECNTRL1" */
    Orders ordered;
    uint64_t stalled;         /* 1: frames are exposed and never delivered */
    uint64_t losses;          /* times the camera was lost; handles opened before a loss stay dead */
    uint64_t found_ns;        /* monotonic time at which the camera can be found again */
    uint64_t line_status;     /* level of the input lines, bit 0 is Line0 */
    uint64_t patient;         /* 1: the loom waits while the consumer has no free buffer, instead of losing frames */
    uint64_t motion_version;  /* odd while the four fields below change */
    uint64_t motion_since_ns; /* loom time of the last change of speed; 0: starts with the first acquisition */
    int64_t motion_from_count;
    double motion_counts_hz;  /* encoder counts a second, negative: backwards */
    int64_t motion_end_count; /* the cloth ends: the encoder goes no further */
    uint64_t spare[13];
    Orders done;              /* from here on written by the producer */
    uint64_t started_ns;      /* loom time of the first acquisition, 0: none yet */
    uint64_t held_ns;         /* time during which the loom waited (patient) */
    uint64_t frames, frames_delivered, frames_underrun, lines;
} Control;

typedef struct {
    const ClothHeader *cloth;
    const uint8_t *pixels;
    Control *control;
    uint64_t cloth_bytes;
    int control_fd;
} Loom;

/* Maps the two files of `folder`; false when one is missing, too short or no file of a loom. */
bool loom_open(Loom *loom, const char *folder);
void loom_close(Loom *loom);

uint64_t monotonic_ns(void);
/* Monotonic time less the time the loom waited. */
uint64_t loom_time_ns(const Loom *loom);
/* The web begins to move, unless it did already. */
void loom_start(const Loom *loom, uint64_t loom_ns);
/* Encoder count at a loom time, as a real number so that callers can place lines between two counts; and, unless it is
 * NULL, the speed of the very same movement. */
double loom_count_at(const Loom *loom, double loom_ns, double *counts_hz);
double loom_speed_counts_hz(const Loom *loom);
void loom_hold(const Loom *loom, double ns);
/* Row of the cloth under the sensor at an encoder count; the cloth repeats. */
const uint8_t *loom_row(const Loom *loom, int64_t count);

bool loom_is_lost(const Loom *loom);
uint64_t loom_losses(const Loom *loom);

/* One writer, many readers: plain 64-bit loads and stores that the compiler must not move or split. */
#define LOAD(field) __atomic_load_n(&(field), __ATOMIC_ACQUIRE)
#define STORE(field, value) __atomic_store_n(&(field), (value), __ATOMIC_RELEASE)
#define ADD(field, value) __atomic_fetch_add(&(field), (value), __ATOMIC_ACQ_REL)

/* True when `what` was ordered and not done yet, and marks it done. */
#define TAKE_ORDER(loom, what) \
    (LOAD((loom)->control->ordered.what) > LOAD((loom)->control->done.what) && (ADD((loom)->control->done.what, 1), true))

#endif
