/* What the producer's files share: cameras, their buffers, handles, and the one lock.
 *
 * Promises: all structures are static and never freed, and a handle is a number that is looked up, never a pointer that
 * is followed; so a late, repeated or invented call gets an error code and cannot crash. Everything below is guarded by
 * `producer_lock` unless said otherwise; a function named ..._locked is called with the lock held.
 */
#ifndef PRODUCER_H
#define PRODUCER_H

#include <pthread.h>

#include "gentl.h"
#include "loom.h"

enum { MAX_CAMERAS = 8, MAX_BUFFERS = 512, MAX_HEIGHT_LINES = 16384, N_CHUNKS = 5 };
enum { CHUNK_FRAME_ID, CHUNK_TIMESTAMP, CHUNK_ENCODER_VALUE, CHUNK_ENCODER_STATUS, CHUNK_LINE_STATUS };
enum { OUTPUT_MOTION = 0, OUTPUT_POSITION_UP = 1, OUTPUT_DIRECTION_UP = 2 };
enum { TRIGGER_FRAME_START = 0, TRIGGER_LINE_START = 1 };
enum { SOURCE_SOFTWARE = 0, SOURCE_ENCODER = 1 };
enum { ENCODER_UP = 0, ENCODER_DOWN = 1, ENCODER_STATIC = 3 };

typedef enum { KIND_SYSTEM = 1, KIND_INTERFACE, KIND_DEVICE, KIND_REMOTE, KIND_STREAM, KIND_EVENT, KIND_BUFFER, N_KINDS } Kind;

/* Settings of the camera; numbers are those of the node map. */
typedef struct {
    uint32_t width_px, height_lines, offset_x_px, pixel_format, locked;
    double line_rate_hz, exposure_us, gain_db;
    uint32_t trigger_selector, trigger_mode[2], trigger_source[2];
    uint32_t encoder_divider, encoder_output;
    uint32_t chunk_mode, chunk_selector, chunk_enabled[N_CHUNKS];
    uint64_t latched_ns;
    char user_id[64];
} Settings;

/* Where everything of one frame lies in its buffer. */
typedef struct {
    uint32_t width_px, height_lines, offset_x_px, pixel_format;
    size_t line_bytes, image_bytes, payload_bytes;
    size_t n_chunks;
    ChunkPlace chunks[N_CHUNKS];
    size_t encoder_at; /* where the encoder counts of the lines go, 0: nowhere */
} Layout;

typedef struct {
    void *handle; /* NULL: free slot */
    uint8_t *memory;
    size_t size;
    void *user;
    bool is_ours, is_queued, is_new, is_incomplete, is_too_large;
    uint64_t frame_id, timestamp_ns;
    size_t filled_bytes;
    uint32_t delivered_lines;
    Layout layout;
} Buffer;

/* Buffers in the order in which they wait; holds slots of Camera.buffers. */
typedef struct {
    uint16_t slots[MAX_BUFFERS];
    size_t n;
} Queue;

typedef struct {
    char serial[64];
    Loom loom;
    void *handles[N_KINDS];
    uint64_t losses_at_open;
    Settings settings;
    Buffer buffers[MAX_BUFFERS];
    size_t n_buffers;
    Queue input, output;
    bool is_acquiring, is_grabbing, has_thread;
    pthread_t thread;
    uint64_t kills, fired, delivered, underruns, triggers_missed, software_triggers;
    /* The frame that is being exposed. */
    uint64_t frame_id;
    uint32_t line;
    int filling; /* slot, -1: no buffer was free */
    Layout layout;
    uint64_t frame_timestamp_ns;
    uint32_t frame_line_status;
    int last_step;
    uint16_t levels[256]; /* 16-bit output of every 8-bit input at the present exposure and gain */
    /* The line clock. */
    int64_t cursor, highest; /* last encoder position (in dividers) that was passed, highest that gave a line */
    double clock_setting, free_start_ns;
    int64_t free_line;
    double last_line_ns;
} Camera;

extern pthread_mutex_t producer_lock;
extern pthread_cond_t producer_wake;
extern Camera cameras[MAX_CAMERAS];
extern size_t n_cameras;

/* system.c */
bool system_is_open(const void *handle);
bool interface_is_open(const void *handle);
void *interface_opened(void);

/* handles.c */
void *handle_new(Kind kind, size_t camera, size_t index);
Kind handle_kind(const void *handle);
Camera *camera_of(const void *handle, Kind kind); /* NULL: stale or no handle of this kind */
Buffer *buffer_of(Camera *camera, const void *handle);

/* info.c: answers of the ...GetInfo functions and the last error of this thread */
int32_t fail(int32_t code, const char *text);
int32_t answer_string(const char *text, int32_t *type, void *out, size_t *size);
int32_t answer_int32(int32_t value, int32_t *type, void *out, size_t *size);
int32_t answer_uint32(uint32_t value, int32_t *type, void *out, size_t *size);
int32_t answer_uint64(uint64_t value, int32_t *type, void *out, size_t *size);
int32_t answer_size(size_t value, int32_t *type, void *out, size_t *size);
int32_t answer_bool(bool value, int32_t *type, void *out, size_t *size);
int32_t answer_pointer(void *value, int32_t *type, void *out, size_t *size);

/* device.c */
bool camera_is_gone(const Camera *camera); /* lost since it was opened */
int32_t camera_info(const Camera *camera, int32_t command, int32_t *type, void *out, size_t *size);
void device_close_locked(Camera *camera);

/* registers.c */
void settings_reset(Camera *camera);
int32_t registers_read(Camera *camera, uint64_t address, void *data, size_t size);
int32_t registers_write(Camera *camera, uint64_t address, const void *data, size_t size);

/* pixels.c */
Layout layout_of(const Camera *camera);
void levels_update(Camera *camera);
uint32_t bits_per_pixel(uint32_t pixel_format);
bool is_known_format(uint32_t pixel_format);
void expose_line(const Camera *camera, const uint8_t *row, uint32_t line, uint8_t *out);

/* sensor.c */
void acquisition_start_locked(Camera *camera);
void acquisition_stop_locked(Camera *camera);
void *sensor_thread(void *camera);

/* stream.c */
void stream_halt_locked(Camera *camera); /* gives the lock away while the thread ends */
void stream_close_locked(Camera *camera);
void queue_push(Queue *queue, size_t slot);
void queue_push_front(Queue *queue, size_t slot);
int queue_pop(Queue *queue); /* -1: empty */
bool queue_remove(Queue *queue, size_t slot);

#endif
