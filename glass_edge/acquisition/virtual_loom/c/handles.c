/* Handles: numbers made of a serial, a kind, a camera and a slot.
 *
 * Promise: a serial is used once, so a handle of something closed is never taken for its successor.
 */
#include "producer.h"

static uint32_t serial;

void *handle_new(Kind kind, size_t camera, size_t index) {
    serial++;
    return (void *)(uintptr_t)((uint64_t)serial << 32 | (uint64_t)kind << 24 | (uint64_t)camera << 16 | (uint64_t)index);
}

Kind handle_kind(const void *handle) {
    uint32_t kind = (uint64_t)(uintptr_t)handle >> 24 & 0xff;
    return kind < N_KINDS ? (Kind)kind : (Kind)0;
}

Camera *camera_of(const void *handle, Kind kind) {
    size_t index = (uint64_t)(uintptr_t)handle >> 16 & 0xff;
    if (handle == NULL || index >= n_cameras || cameras[index].handles[kind] != handle) return NULL;
    return &cameras[index];
}

Buffer *buffer_of(Camera *camera, const void *handle) {
    size_t index = (uint64_t)(uintptr_t)handle & 0xffff;
    if (handle == NULL || index >= MAX_BUFFERS || camera->buffers[index].handle != handle) return NULL;
    return &camera->buffers[index];
}
