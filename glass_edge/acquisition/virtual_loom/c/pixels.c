/* One line of cloth as the camera's pixels.
 *
 * Promises: at 50 us and 0 dB an 8-bit format carries the cloth's own bytes, and a format of n bits carries v*257 >> (16-n),
 * so that its top 8 bits are the cloth's; packed formats are those of the PFNC (p: little-endian bit stream, Packed: GigE
 * Vision). Grey of coloured cloth is BT.601 luma as Pillow computes it.
 */
#include <math.h>
#include <string.h>

#include "producer.h"
#include "registers.h"

uint32_t bits_per_pixel(uint32_t pixel_format) { return pixel_format >> 16 & 0xff; }

bool is_known_format(uint32_t format) {
    return format == FORMAT_MONO8 || format == FORMAT_MONO10 || format == FORMAT_MONO10P || format == FORMAT_MONO12 ||
           format == FORMAT_MONO12P || format == FORMAT_MONO12PACKED || format == FORMAT_MONO16 || format == FORMAT_RGB8 ||
           format == FORMAT_BAYERRG8;
}

void levels_update(Camera *camera) {
    double factor = camera->settings.exposure_us / 50.0 * pow(10.0, camera->settings.gain_db / 20.0);
    for (int value = 0; value < 256; value++) camera->levels[value] = (uint16_t)fmin(65535.0, rint(value * 257 * factor));
}

Layout layout_of(const Camera *camera) {
    const Settings *settings = &camera->settings;
    Layout layout = {.width_px = settings->width_px, .height_lines = settings->height_lines,
                     .offset_x_px = settings->offset_x_px, .pixel_format = settings->pixel_format};
    layout.line_bytes = (size_t)settings->width_px * bits_per_pixel(settings->pixel_format) / 8;
    layout.image_bytes = layout.payload_bytes = layout.line_bytes * settings->height_lines;
    for (size_t i = 0; settings->chunk_mode != 0 && i < N_CHUNKS; i++) {
        if (settings->chunk_enabled[i] == 0) continue;
        size_t length = i == CHUNK_ENCODER_VALUE ? 8 * (size_t)settings->height_lines : 8;
        if (i == CHUNK_ENCODER_VALUE) layout.encoder_at = layout.payload_bytes;
        layout.chunks[layout.n_chunks++] = (ChunkPlace){CHUNK_ID + i, (ptrdiff_t)layout.payload_bytes, length};
        layout.payload_bytes += length;
    }
    return layout;
}

typedef struct {
    const uint16_t *levels;
    const uint8_t *pixels;
    uint32_t channels;
} Line;

static inline uint32_t grey(const Line *line, uint32_t x) {
    if (line->channels == 1) return line->levels[line->pixels[x]];
    const uint8_t *p = line->pixels + (size_t)x * 3;
    return line->levels[(p[0] * 19595u + p[1] * 38470u + p[2] * 7471u + 0x8000u) >> 16];
}

static inline uint32_t colour(const Line *line, uint32_t x, uint32_t channel) {
    return line->levels[line->pixels[(size_t)x * line->channels + (line->channels == 3 ? channel : 0)]];
}

static void wide(const Line *line, uint32_t width, uint32_t shift, uint8_t *out) {
    for (uint32_t x = 0; x < width; x++) {
        uint32_t value = grey(line, x) >> shift;
        out[2 * x] = (uint8_t)value;
        out[2 * x + 1] = (uint8_t)(value >> 8);
    }
}

/* A stream of `bits`-bit values, lowest bit first. */
static void packed(const Line *line, uint32_t width, uint32_t bits, uint8_t *out) {
    uint32_t held = 0, n_held = 0;
    for (uint32_t x = 0; x < width; x++) {
        held |= grey(line, x) >> (16 - bits) << n_held;
        for (n_held += bits; n_held >= 8; n_held -= 8, held >>= 8) *out++ = (uint8_t)held;
    }
}

static void packed_gev(const Line *line, uint32_t width, uint8_t *out) {
    for (uint32_t x = 0; x + 1 < width; x += 2, out += 3) {
        uint32_t first = grey(line, x) >> 4, second = grey(line, x + 1) >> 4;
        out[0] = (uint8_t)(first >> 4);
        out[1] = (uint8_t)((first & 15) | (second & 15) << 4);
        out[2] = (uint8_t)(second >> 4);
    }
}

void expose_line(const Camera *camera, const uint8_t *row, uint32_t line_number, uint8_t *out) {
    uint32_t width = camera->layout.width_px, channels = camera->loom.cloth->channels;
    Line line = {camera->levels, row + (size_t)camera->layout.offset_x_px * channels, channels};
    bool is_as_is = camera->levels[255] == 65535 && camera->levels[1] == 257;
    switch (camera->layout.pixel_format) {
    case FORMAT_MONO8:
        if (is_as_is && channels == 1) memcpy(out, line.pixels, width);
        else for (uint32_t x = 0; x < width; x++) out[x] = (uint8_t)(grey(&line, x) >> 8);
        break;
    case FORMAT_RGB8:
        if (is_as_is && channels == 3) memcpy(out, line.pixels, (size_t)width * 3);
        else for (uint32_t x = 0; x < width * 3; x++) out[x] = (uint8_t)(colour(&line, x / 3, x % 3) >> 8);
        break;
    case FORMAT_BAYERRG8: /* even lines R G R G, odd lines G B G B */
        for (uint32_t x = 0; x < width; x++) out[x] = (uint8_t)(colour(&line, x, x % 2 + line_number % 2) >> 8);
        break;
    case FORMAT_MONO10: wide(&line, width, 6, out); break;
    case FORMAT_MONO12: wide(&line, width, 4, out); break;
    case FORMAT_MONO16: wide(&line, width, 0, out); break;
    case FORMAT_MONO10P: packed(&line, width, 10, out); break;
    case FORMAT_MONO12P: packed(&line, width, 12, out); break;
    case FORMAT_MONO12PACKED: packed_gev(&line, width, out); break;
    default: memset(out, 0, camera->layout.line_bytes); break;
    }
}
