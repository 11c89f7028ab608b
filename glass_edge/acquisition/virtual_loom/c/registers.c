/* The camera's registers.
 *
 * Promises: a value out of its range, or a change of the image's size while streaming, is refused here too, whatever the
 * consumer's node map allowed.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "producer.h"
#include "registers.h"

#define LARGEST_LINE_RATE_HZ 400000.0
#define READOUT_US 1.0

static uint32_t sensor_width(const Camera *camera) { return camera->loom.cloth->width_px / 4 * 4; }

static double line_rate_max(const Camera *camera) {
    return fmin(LARGEST_LINE_RATE_HZ, 1e6 / (camera->settings.exposure_us + READOUT_US));
}

void settings_reset(Camera *camera) {
    const ClothHeader *cloth = camera->loom.cloth;
    camera->settings = (Settings){
        .width_px = sensor_width(camera),
        .height_lines = 256,
        .pixel_format = cloth->channels == 3 ? FORMAT_RGB8 : FORMAT_MONO8,
        .exposure_us = 50,
        .trigger_source = {SOURCE_SOFTWARE, SOURCE_ENCODER},
        .encoder_divider = cloth->counts_per_line,
        .chunk_enabled = {1, 1, 1, 1, 1},
    };
    double rate = cloth->line_rate_hz;
    camera->settings.line_rate_hz = rate >= 1 && rate <= line_rate_max(camera) ? rate : 1000;
    memcpy(camera->settings.user_id, cloth->user_id, sizeof camera->settings.user_id);
    camera->triggers_missed = 0;
    levels_update(camera);
}

static uint64_t encoder_status(const Camera *camera) {
    double speed = loom_speed_counts_hz(&camera->loom);
    return speed > 0 ? ENCODER_UP : speed < 0 ? ENCODER_DOWN : ENCODER_STATIC;
}

static const char *text_at(const Camera *camera, uint64_t address) {
    switch (address) {
    case REG_DEVICE_VENDOR_NAME: return "glass_edge";
    case REG_DEVICE_MODEL_NAME: return "VirtualLoom";
    case REG_DEVICE_VERSION: return "1.0";
    case REG_DEVICE_SERIAL_NUMBER: return camera->serial;
    case REG_DEVICE_USER_ID: return camera->settings.user_id;
    default: return NULL;
    }
}

static double *number_at(Camera *camera, uint64_t address, double *least, double *most) {
    *least = 1;
    switch (address) {
    case REG_ACQUISITION_LINE_RATE: *most = line_rate_max(camera); return &camera->settings.line_rate_hz;
    case REG_EXPOSURE_TIME: *most = 10000; return &camera->settings.exposure_us;
    case REG_GAIN: *least = 0; *most = 24; return &camera->settings.gain_db;
    default: return NULL;
    }
}

/* A writable integer: its place, bounds and step; NULL for any other address. */
static uint32_t *integer_at(Camera *camera, uint64_t address, uint32_t *least, uint32_t *most, uint32_t *step) {
    Settings *settings = &camera->settings;
    *least = 0;
    *most = 1;
    *step = 1;
    switch (address) {
    case REG_TL_PARAMS_LOCKED: return &settings->locked;
    case REG_WIDTH: *least = *step = 4; *most = sensor_width(camera) - settings->offset_x_px; return &settings->width_px;
    case REG_HEIGHT: *least = 1; *most = MAX_HEIGHT_LINES; return &settings->height_lines;
    case REG_OFFSET_X: *step = 4; *most = sensor_width(camera) - settings->width_px; return &settings->offset_x_px;
    case REG_PIXEL_FORMAT: *most = UINT32_MAX; return &settings->pixel_format;
    case REG_TRIGGER_SELECTOR: return &settings->trigger_selector;
    case REG_TRIGGER_MODE: return &settings->trigger_mode[settings->trigger_selector];
    case REG_TRIGGER_SOURCE: return &settings->trigger_source[settings->trigger_selector];
    case REG_ENCODER_DIVIDER: *least = 1; *most = 65536; return &settings->encoder_divider;
    case REG_ENCODER_OUTPUT_MODE: *most = OUTPUT_DIRECTION_UP; return &settings->encoder_output;
    case REG_CHUNK_MODE_ACTIVE: return &settings->chunk_mode;
    case REG_CHUNK_SELECTOR: *most = N_CHUNKS - 1; return &settings->chunk_selector;
    case REG_CHUNK_ENABLE: return &settings->chunk_enabled[settings->chunk_selector];
    default: return NULL;
    }
}

static bool computed_at(Camera *camera, uint64_t address, uint64_t *value) {
    const Loom *loom = &camera->loom;
    switch (address) {
    case REG_DEVICE_SCAN_TYPE: *value = 1; return true;
    case REG_TIMESTAMP_LATCH_VALUE: *value = camera->settings.latched_ns; return true;
    case REG_SENSOR_WIDTH: *value = sensor_width(camera); return true;
    case REG_WIDTH_MAX: *value = sensor_width(camera) - camera->settings.offset_x_px; return true;
    case REG_OFFSET_X_MAX: *value = sensor_width(camera) - camera->settings.width_px; return true;
    case REG_HEIGHT_MAX: *value = MAX_HEIGHT_LINES; return true;
    case REG_PAYLOAD_SIZE: *value = layout_of(camera).payload_bytes; return true;
    case REG_ACQUISITION_MODE:
    case REG_ENCODER_SELECTOR: *value = 0; return true;
    case REG_LINE_TRIGGER_MISSED_COUNT: *value = camera->triggers_missed; return true;
    case REG_ENCODER_STATUS: *value = encoder_status(camera); return true;
    case REG_ENCODER_VALUE: *value = (uint64_t)(int64_t)floor(loom_count_at(loom, (double)loom_time_ns(loom), NULL)); return true;
    case REG_LINE_STATUS_ALL: *value = LOAD(loom->control->line_status); return true;
    default: return false;
    }
}

int32_t registers_read(Camera *camera, uint64_t address, void *data, size_t size) {
    uint32_t low, high, step;
    double least, most, rate;
    uint64_t value;
    const char *text = text_at(camera, address);
    memset(data, 0, size);
    if (text != NULL) {
        memcpy(data, text, strnlen(text, size));
        return GC_OK;
    }
    const double *number = number_at(camera, address, &least, &most);
    if (address == REG_LINE_RATE_MAX) {
        rate = line_rate_max(camera);
        number = &rate;
    }
    if (number != NULL && size == sizeof *number) {
        memcpy(data, number, size);
        return GC_OK;
    }
    const uint32_t *integer = integer_at(camera, address, &low, &high, &step);
    if (integer != NULL) value = *integer;
    else if (!computed_at(camera, address, &value)) return fail(GC_INVALID_ADDRESS, "no such register, or it cannot be read");
    if (size != 4 && size != 8) return fail(GC_INVALID_PARAMETER, "registers are read whole");
    memcpy(data, &value, size);
    return GC_OK;
}

static int32_t command(Camera *camera, uint64_t address) {
    switch (address) {
    case REG_ACQUISITION_START: acquisition_start_locked(camera); return GC_OK;
    case REG_ACQUISITION_STOP: acquisition_stop_locked(camera); return GC_OK;
    case REG_TIMESTAMP_LATCH: camera->settings.latched_ns = monotonic_ns(); return GC_OK;
    case REG_ACQUISITION_MODE:
    case REG_ENCODER_SELECTOR: return GC_OK; /* one choice each */
    case REG_TRIGGER_SOFTWARE:
        if (camera->settings.trigger_selector != TRIGGER_FRAME_START)
            return fail(GC_ACCESS_DENIED, "only FrameStart has a software trigger");
        camera->software_triggers++;
        return GC_OK;
    default: return fail(GC_INVALID_ADDRESS, "no such register, or it cannot be written");
    }
}

static bool is_locked(const Camera *camera, uint64_t address) {
    bool is_format = address == REG_WIDTH || address == REG_HEIGHT || address == REG_OFFSET_X || address == REG_PIXEL_FORMAT ||
                     address == REG_CHUNK_MODE_ACTIVE || address == REG_CHUNK_ENABLE;
    return is_format && camera->settings.locked != 0;
}

static int32_t write_number(Camera *camera, double *number, double least, double most, const void *data) {
    double value;
    memcpy(&value, data, sizeof value);
    if (!(value >= least && value <= most)) return fail(GC_INVALID_VALUE, "out of range");
    *number = value;
    camera->settings.line_rate_hz = fmin(camera->settings.line_rate_hz, line_rate_max(camera));
    levels_update(camera);
    return GC_OK;
}

int32_t registers_write(Camera *camera, uint64_t address, const void *data, size_t size) {
    uint32_t low, high, step;
    double least, most;
    if (is_locked(camera, address)) return fail(GC_ACCESS_DENIED, "not while the camera streams");
    if (address == REG_DEVICE_USER_ID) {
        memset(camera->settings.user_id, 0, sizeof camera->settings.user_id);
        memcpy(camera->settings.user_id, data, size < sizeof camera->settings.user_id ? size : sizeof camera->settings.user_id - 1);
        return GC_OK;
    }
    double *number = number_at(camera, address, &least, &most);
    if (number != NULL && size == sizeof *number) return write_number(camera, number, least, most, data);
    if (size != 4 && size != 8) return fail(GC_INVALID_PARAMETER, "registers are written whole");
    uint64_t value = 0;
    memcpy(&value, data, size);
    uint32_t *integer = integer_at(camera, address, &low, &high, &step);
    if (integer == NULL) return command(camera, address);
    if (value < low || value > high || (value - low) % step != 0) return fail(GC_INVALID_VALUE, "out of range");
    if (address == REG_PIXEL_FORMAT && !is_known_format((uint32_t)value)) return fail(GC_INVALID_VALUE, "no such pixel format");
    *integer = (uint32_t)value;
    return GC_OK;
}
