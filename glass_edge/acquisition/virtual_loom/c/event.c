/* The new-buffer event.
 *
 * Promises: waiting ends at the time-out, at a kill, when the event is unregistered or the stream closed, and within
 * 20 ms of a loss of the camera; what was delivered before a loss can no longer be fetched.
 */
#include <string.h>
#include <time.h>

#include "producer.h"

#define LOSS_CHECK_NS 20000000u

GC_API GCRegisterEvent(void *source, int32_t event_type, void **event) {
    pthread_mutex_lock(&producer_lock);
    int32_t code = GC_OK;
    Camera *camera = camera_of(source, KIND_STREAM);
    if (camera == NULL || event_type != EVENT_NEW_BUFFER) code = fail(GC_NOT_IMPLEMENTED, "only streams have events: new buffer");
    else if (event == NULL) code = fail(GC_INVALID_PARAMETER, "no place for the handle");
    else if (camera->handles[KIND_EVENT] != NULL) code = fail(GC_RESOURCE_IN_USE, "the event is registered already");
    else {
        camera->kills = 0;
        *event = camera->handles[KIND_EVENT] = handle_new(KIND_EVENT, (size_t)(camera - cameras), 0);
    }
    pthread_mutex_unlock(&producer_lock);
    return code;
}

GC_API GCUnregisterEvent(void *source, int32_t event_type) {
    pthread_mutex_lock(&producer_lock);
    Camera *camera = camera_of(source, KIND_STREAM);
    bool is_there = camera != NULL && event_type == EVENT_NEW_BUFFER && camera->handles[KIND_EVENT] != NULL;
    if (is_there) {
        camera->handles[KIND_EVENT] = NULL;
        pthread_cond_broadcast(&producer_wake);
    }
    pthread_mutex_unlock(&producer_lock);
    return is_there ? GC_OK : fail(GC_INVALID_HANDLE, "no such event is registered");
}

/* Waits for a delivered buffer, a kill or the end; the lock is held on return. */
static int32_t wait_for_buffer(const void *event, Camera *camera, uint64_t timeout_ms) {
    uint64_t begin_ns = monotonic_ns();
    uint64_t most_ms = (UINT64_MAX - begin_ns) / 1000000u;
    uint64_t end_ns = timeout_ms >= most_ms ? UINT64_MAX : begin_ns + timeout_ms * 1000000u;
    for (;;) {
        if (camera_of(event, KIND_EVENT) != camera) return fail(GC_ABORT, "the event was unregistered");
        if (camera_is_gone(camera)) return fail(GC_IO, "the camera is lost");
        if (camera->kills > 0) {
            camera->kills--;
            return fail(GC_ABORT, "the wait was killed");
        }
        if (camera->output.n > 0) return GC_OK;
        uint64_t now_ns = monotonic_ns();
        if (now_ns >= end_ns) return fail(GC_TIMEOUT, "no new buffer");
        uint64_t wake_ns = end_ns - now_ns > LOSS_CHECK_NS ? now_ns + LOSS_CHECK_NS : end_ns;
        struct timespec wake = {(time_t)(wake_ns / 1000000000u), (long)(wake_ns % 1000000000u)};
        pthread_cond_timedwait(&producer_wake, &producer_lock, &wake);
    }
}

GC_API EventGetData(void *event, void *out, size_t *size, uint64_t timeout_ms) {
    if (size == NULL || (out != NULL && *size < sizeof(NewBufferEvent))) return fail(GC_BUFFER_TOO_SMALL, "the event needs 16 bytes");
    pthread_mutex_lock(&producer_lock);
    Camera *camera = camera_of(event, KIND_EVENT);
    int32_t code = camera == NULL ? fail(GC_INVALID_HANDLE, "no such event") : wait_for_buffer(event, camera, timeout_ms);
    if (code == GC_OK) {
        int slot = queue_pop(&camera->output);
        NewBufferEvent data = {camera->buffers[slot].handle, camera->buffers[slot].user};
        camera->buffers[slot].is_queued = false;
        if (out != NULL) memcpy(out, &data, sizeof data);
        *size = sizeof data;
    }
    pthread_mutex_unlock(&producer_lock);
    return code;
}

GC_API EventGetDataInfo(void *event, const void *in, size_t in_size, int32_t command, int32_t *type, void *out, size_t *size) {
    (void)event;
    NewBufferEvent data;
    if (in == NULL || in_size < sizeof data) return fail(GC_INVALID_PARAMETER, "no event data");
    memcpy(&data, in, sizeof data);
    if (command == 0) return answer_pointer(data.buffer, type, out, size);
    if (command == 1) return answer_pointer(data.user, type, out, size);
    return fail(GC_NOT_IMPLEMENTED, "no such event data");
}

GC_API EventGetInfo(void *event, int32_t command, int32_t *type, void *out, size_t *size) {
    pthread_mutex_lock(&producer_lock);
    Camera *camera = camera_of(event, KIND_EVENT);
    size_t in_queue = camera == NULL ? 0 : camera->output.n;
    uint64_t fired = camera == NULL ? 0 : camera->fired;
    pthread_mutex_unlock(&producer_lock);
    if (camera == NULL) return fail(GC_INVALID_HANDLE, "no such event");
    switch (command) {
    case EVENT_TYPE: return answer_int32(EVENT_NEW_BUFFER, type, out, size);
    case EVENT_IN_QUEUE: return answer_size(in_queue, type, out, size);
    case EVENT_FIRED: return answer_uint64(fired, type, out, size);
    case EVENT_SIZE_MAX: return answer_size(sizeof(NewBufferEvent), type, out, size);
    case EVENT_INFO_SIZE_MAX: return answer_size(sizeof(void *), type, out, size);
    default: return fail(GC_NOT_IMPLEMENTED, "no such event information");
    }
}

GC_API EventFlush(void *event) {
    pthread_mutex_lock(&producer_lock);
    Camera *camera = camera_of(event, KIND_EVENT);
    for (size_t i = 0; camera != NULL && i < camera->output.n; i++)
        camera->buffers[camera->output.slots[i]].is_queued = false;
    if (camera != NULL) camera->output.n = 0;
    pthread_mutex_unlock(&producer_lock);
    return camera != NULL ? GC_OK : fail(GC_INVALID_HANDLE, "no such event");
}

GC_API EventKill(void *event) {
    pthread_mutex_lock(&producer_lock);
    Camera *camera = camera_of(event, KIND_EVENT);
    if (camera != NULL) {
        camera->kills++;
        pthread_cond_broadcast(&producer_wake);
    }
    pthread_mutex_unlock(&producer_lock);
    return camera != NULL ? GC_OK : fail(GC_INVALID_HANDLE, "no such event");
}
