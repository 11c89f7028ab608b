/* The sensor: takes lines as the web moves or as time goes, makes frames of them, and commits the faults ordered.
 *
 * Promises: every line carries the encoder position it was taken at; frames number on whether they are delivered or not;
 * a late thread catches up, so that a busy machine loses nothing as long as buffers are queued; only frames that are two
 * seconds late are given up, as a camera's own memory would be full by then.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "producer.h"

#define LINES_A_TURN 256
#define SHORTEST_SLEEP_NS 500000.0
#define LONGEST_SLEEP_NS 5000000.0
#define LONGEST_LAG_NS 2e9

/* Positive: the line rate of the camera's own clock; negative: the divider by which the encoder is the clock. */
static double clock_of(const Camera *camera) {
    const Settings *settings = &camera->settings;
    bool is_encoder = settings->trigger_mode[TRIGGER_LINE_START] != 0;
    return is_encoder ? -(double)settings->encoder_divider : settings->line_rate_hz;
}

/* Begins with the line that is next at this loom time. */
static void set_clock(Camera *camera, double now_ns) {
    double setting = clock_of(camera);
    camera->clock_setting = setting;
    camera->free_start_ns = now_ns;
    camera->free_line = 0;
    camera->last_line_ns = 0;
    if (setting < 0) camera->cursor = camera->highest = (int64_t)ceil(loom_count_at(&camera->loom, now_ns, NULL) / -setting) - 1;
}

void acquisition_start_locked(Camera *camera) {
    camera->is_acquiring = true;
    camera->frame_id = 0;
    camera->software_triggers = 0;
    uint64_t now_ns = loom_time_ns(&camera->loom);
    loom_start(&camera->loom, now_ns);
    set_clock(camera, (double)now_ns);
}

static void drop_frame(Camera *camera) {
    if (camera->filling >= 0) queue_push_front(&camera->input, (size_t)camera->filling);
    camera->filling = -1;
    camera->line = 0;
}

void acquisition_stop_locked(Camera *camera) {
    camera->is_acquiring = false;
    drop_frame(camera);
}

static bool begin_frame(Camera *camera, double line_ns) {
    const Settings *settings = &camera->settings;
    if (settings->trigger_mode[TRIGGER_FRAME_START] != 0 && settings->trigger_source[TRIGGER_FRAME_START] == SOURCE_SOFTWARE) {
        if (camera->software_triggers == 0) return false;
        camera->software_triggers--;
    }
    camera->frame_id++;
    ADD(camera->loom.control->frames, 1);
    camera->layout = layout_of(camera);
    camera->frame_timestamp_ns = (uint64_t)line_ns + LOAD(camera->loom.control->held_ns);
    camera->frame_line_status = (uint32_t)LOAD(camera->loom.control->line_status);
    bool is_too_late = (double)loom_time_ns(&camera->loom) - line_ns > LONGEST_LAG_NS && LOAD(camera->loom.control->patient) == 0;
    camera->filling = is_too_late ? -1 : queue_pop(&camera->input);
    if (camera->filling < 0) {
        camera->underruns++;
        ADD(camera->loom.control->frames_underrun, 1);
    }
    return true;
}

static void write_chunks(const Camera *camera, Buffer *buffer) {
    uint64_t speed_sign = camera->last_step > 0 ? ENCODER_UP : camera->last_step < 0 ? ENCODER_DOWN : ENCODER_STATIC;
    for (size_t i = 0; i < camera->layout.n_chunks; i++) {
        const ChunkPlace *chunk = &camera->layout.chunks[i];
        uint64_t value = 0;
        switch ((uint32_t)(chunk->id & 15) - 1) {
        case CHUNK_FRAME_ID: value = camera->frame_id; break;
        case CHUNK_TIMESTAMP: value = camera->frame_timestamp_ns; break;
        case CHUNK_ENCODER_STATUS: value = speed_sign; break;
        case CHUNK_LINE_STATUS: value = camera->frame_line_status; break;
        default: continue; /* the encoder's counts were written line by line */
        }
        memcpy(buffer->memory + chunk->offset, &value, sizeof value);
    }
}

static void deliver(Camera *camera, Buffer *buffer) {
    buffer->layout = camera->layout;
    buffer->frame_id = camera->frame_id;
    buffer->timestamp_ns = camera->frame_timestamp_ns;
    buffer->is_new = true;
    buffer->is_too_large = camera->layout.payload_bytes > buffer->size;
    buffer->is_incomplete = buffer->is_too_large || TAKE_ORDER(&camera->loom, incomplete);
    buffer->delivered_lines = buffer->is_too_large ? 0 : camera->layout.height_lines;
    buffer->filled_bytes = buffer->is_too_large ? 0 : camera->layout.payload_bytes;
    if (!buffer->is_too_large) write_chunks(camera, buffer);
    if (buffer->is_incomplete && !buffer->is_too_large) {
        buffer->delivered_lines /= 2;
        buffer->filled_bytes = buffer->delivered_lines * camera->layout.line_bytes;
        buffer->layout.n_chunks = 0;
    } else if (buffer->layout.n_chunks > 0 && TAKE_ORDER(&camera->loom, bad_chunk)) {
        for (size_t i = 0; i < buffer->layout.n_chunks; i++) buffer->layout.chunks[i].length = 3;
    }
    queue_push(&camera->output, (size_t)(buffer - camera->buffers));
    camera->filling = -1;
    camera->delivered++;
    camera->fired++;
    ADD(camera->loom.control->frames_delivered, 1);
    pthread_cond_broadcast(&producer_wake);
}

static void end_frame(Camera *camera) {
    if (TAKE_ORDER(&camera->loom, crash)) abort();
    bool is_kept = LOAD(camera->loom.control->stalled) == 0 && !TAKE_ORDER(&camera->loom, drop);
    if (is_kept && camera->filling >= 0) deliver(camera, &camera->buffers[camera->filling]);
    drop_frame(camera);
}

static void take_line(Camera *camera, int64_t count, double line_ns) {
    if (TAKE_ORDER(&camera->loom, missed_trigger)) {
        camera->triggers_missed++;
        return;
    }
    if (camera->line == 0 && !begin_frame(camera, line_ns)) return;
    ADD(camera->loom.control->lines, 1);
    if (camera->filling >= 0) {
        Buffer *buffer = &camera->buffers[camera->filling];
        if (camera->layout.payload_bytes <= buffer->size) {
            uint8_t *out = buffer->memory + camera->line * camera->layout.line_bytes;
            expose_line(camera, loom_row(&camera->loom, count), camera->line, out);
            if (camera->layout.encoder_at != 0)
                memcpy(buffer->memory + camera->layout.encoder_at + 8 * (size_t)camera->line, &count, sizeof count);
        }
    }
    if (++camera->line == camera->layout.height_lines) end_frame(camera);
}

/* A patient loom stands still until the consumer has a buffer for the next frame. */
static bool must_wait(const Camera *camera) {
    return camera->line == 0 && camera->input.n == 0 && LOAD(camera->loom.control->patient) != 0;
}

/* Lines at the encoder's divider; true when more are due. */
static bool take_encoder_lines(Camera *camera) {
    const Loom *loom = &camera->loom;
    double now_ns = (double)loom_time_ns(loom), divider = camera->settings.encoder_divider;
    double speed, count = loom_count_at(loom, now_ns, &speed);
    int64_t position = (int64_t)floor(count / divider);
    double shortest_ns = (camera->settings.exposure_us + 1.0) * 1000.0 - 10.0;
    for (int n = 0; n < LINES_A_TURN; n++) {
        if (camera->cursor == position) return false;
        int step = position > camera->cursor ? 1 : -1;
        int64_t next = camera->cursor + step;
        double edge = (double)(step > 0 ? next : next + 1) * divider; /* where the web enters the line */
        bool is_timed = step * speed > 0; /* otherwise the web has turned since the line was passed */
        double behind_ns = is_timed ? fmax(0, (count - edge) / speed * 1e9) : 0;
        if (must_wait(camera)) {
            loom_hold(loom, behind_ns);
            return false;
        }
        camera->cursor = next;
        camera->last_step = step;
        bool is_new = next > camera->highest;
        if (is_new) camera->highest = next;
        if (camera->settings.encoder_output == OUTPUT_POSITION_UP && !is_new) continue;
        if (camera->settings.encoder_output == OUTPUT_DIRECTION_UP && step < 0) continue;
        double line_ns = now_ns - behind_ns;
        if (is_timed && line_ns - camera->last_line_ns < shortest_ns) {
            camera->triggers_missed++;
            continue;
        }
        camera->last_line_ns = is_timed ? line_ns : 0;
        take_line(camera, next * (int64_t)divider, line_ns);
    }
    return true;
}

/* Lines at the camera's own rate; true when more are due. */
static bool take_timed_lines(Camera *camera) {
    const Loom *loom = &camera->loom;
    double now_ns = (double)loom_time_ns(loom), period_ns = 1e9 / camera->settings.line_rate_hz;
    double speed = loom_speed_counts_hz(loom);
    camera->last_step = speed > 0 ? 1 : speed < 0 ? -1 : 0;
    for (int n = 0; n < LINES_A_TURN; n++) {
        double line_ns = camera->free_start_ns + (double)camera->free_line * period_ns;
        if (line_ns + period_ns > now_ns) return false;
        if (must_wait(camera)) {
            loom_hold(loom, now_ns - line_ns - period_ns);
            return false;
        }
        camera->free_line++;
        take_line(camera, (int64_t)floor(loom_count_at(loom, line_ns + period_ns / 2, NULL)), line_ns);
    }
    return true;
}

static double sleep_ns(const Camera *camera) {
    double setting = camera->clock_setting;
    double rate_hz = setting < 0 ? fabs(loom_speed_counts_hz(&camera->loom)) / -setting : setting;
    double eighth_ns = rate_hz > 0 ? 1e9 / 8 * camera->settings.height_lines / rate_hz : LONGEST_SLEEP_NS;
    return fmin(LONGEST_SLEEP_NS, fmax(SHORTEST_SLEEP_NS, eighth_ns));
}

void *sensor_thread(void *argument) {
    Camera *camera = argument;
    pthread_mutex_lock(&producer_lock);
    while (camera->is_grabbing && !camera_is_gone(camera)) {
        bool is_more = false;
        if (camera->clock_setting != clock_of(camera)) set_clock(camera, (double)loom_time_ns(&camera->loom));
        if (camera->is_acquiring) is_more = camera->clock_setting < 0 ? take_encoder_lines(camera) : take_timed_lines(camera);
        struct timespec pause = {0, is_more ? 0 : (long)sleep_ns(camera)};
        pthread_mutex_unlock(&producer_lock);
        nanosleep(&pause, NULL);
        pthread_mutex_lock(&producer_lock);
    }
    pthread_mutex_unlock(&producer_lock);
    return NULL;
}
