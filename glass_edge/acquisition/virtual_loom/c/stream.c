/* The data stream: announced buffers and the two queues they wait in.
 *
 * Promises: a buffer may be queued late, twice or after it was revoked (the answer says so, nothing else happens);
 * closing gives the memory back whatever state the stream is in, and so does revoking once the camera is lost.
 */
#include <stdlib.h>
#include <string.h>

#include "producer.h"

void queue_push(Queue *queue, size_t slot) { queue->slots[queue->n++] = (uint16_t)slot; }

void queue_push_front(Queue *queue, size_t slot) {
    memmove(queue->slots + 1, queue->slots, queue->n++ * sizeof queue->slots[0]);
    queue->slots[0] = (uint16_t)slot;
}

bool queue_remove(Queue *queue, size_t slot) {
    for (size_t i = 0; i < queue->n; i++)
        if (queue->slots[i] == slot) {
            memmove(queue->slots + i, queue->slots + i + 1, (--queue->n - i) * sizeof queue->slots[0]);
            return true;
        }
    return false;
}

int queue_pop(Queue *queue) {
    if (queue->n == 0) return -1;
    int slot = queue->slots[0];
    queue_remove(queue, (size_t)slot);
    return slot;
}

void stream_halt_locked(Camera *camera) {
    camera->is_grabbing = false;
    if (camera->has_thread) {
        pthread_t thread = camera->thread;
        camera->has_thread = false;
        pthread_mutex_unlock(&producer_lock);
        pthread_join(thread, NULL);
        pthread_mutex_lock(&producer_lock);
    }
    if (camera->filling >= 0) queue_push_front(&camera->input, (size_t)camera->filling);
    camera->filling = -1;
    camera->line = 0;
}

static void forget_buffer(Camera *camera, Buffer *buffer) {
    size_t slot = (size_t)(buffer - camera->buffers);
    queue_remove(&camera->input, slot);
    queue_remove(&camera->output, slot);
    if (camera->filling == (int)slot) camera->filling = -1;
    if (buffer->is_ours) free(buffer->memory);
    memset(buffer, 0, sizeof *buffer);
    camera->n_buffers--;
}

void stream_close_locked(Camera *camera) {
    if (camera->handles[KIND_STREAM] == NULL) return;
    camera->handles[KIND_STREAM] = camera->handles[KIND_EVENT] = NULL;
    pthread_cond_broadcast(&producer_wake);
    stream_halt_locked(camera);
    for (size_t i = 0; i < MAX_BUFFERS; i++)
        if (camera->buffers[i].handle != NULL) forget_buffer(camera, &camera->buffers[i]);
}

GC_API DSClose(void *stream) {
    pthread_mutex_lock(&producer_lock);
    Camera *camera = camera_of(stream, KIND_STREAM);
    if (camera != NULL) stream_close_locked(camera);
    pthread_mutex_unlock(&producer_lock);
    return camera != NULL ? GC_OK : fail(GC_INVALID_HANDLE, "no open stream");
}

GC_API DSGetParentDev(void *stream, void **device) {
    pthread_mutex_lock(&producer_lock);
    Camera *camera = camera_of(stream, KIND_STREAM);
    if (camera != NULL && device != NULL) *device = camera->handles[KIND_DEVICE];
    pthread_mutex_unlock(&producer_lock);
    return camera != NULL && device != NULL ? GC_OK : fail(GC_INVALID_HANDLE, "no open stream");
}

static int32_t announce(void *stream, void *memory, size_t size, void *user, void **handle) {
    if (handle == NULL || size == 0) return fail(GC_INVALID_PARAMETER, "no buffer");
    pthread_mutex_lock(&producer_lock);
    int32_t code = fail(GC_RESOURCE_EXHAUSTED, "512 buffers are announced already");
    Camera *camera = camera_of(stream, KIND_STREAM);
    bool is_ours = memory == NULL;
    if (camera == NULL) code = fail(GC_INVALID_HANDLE, "no open stream");
    for (size_t i = 0; camera != NULL && i < MAX_BUFFERS; i++) {
        Buffer *buffer = &camera->buffers[i];
        if (buffer->handle != NULL) continue;
        if (is_ours && (memory = calloc(1, size)) == NULL) {
            code = fail(GC_OUT_OF_MEMORY, "no memory for a buffer");
            break;
        }
        *buffer = (Buffer){.memory = memory, .size = size, .user = user, .is_ours = is_ours};
        *handle = buffer->handle = handle_new(KIND_BUFFER, (size_t)(camera - cameras), i);
        camera->n_buffers++;
        code = GC_OK;
        break;
    }
    pthread_mutex_unlock(&producer_lock);
    return code;
}

GC_API DSAnnounceBuffer(void *stream, void *memory, size_t size, void *user, void **handle) {
    if (memory == NULL) return fail(GC_INVALID_PARAMETER, "no buffer");
    return announce(stream, memory, size, user, handle);
}

GC_API DSAllocAndAnnounceBuffer(void *stream, size_t size, void *user, void **handle) {
    return announce(stream, NULL, size, user, handle);
}

GC_API DSQueueBuffer(void *stream, void *handle) {
    pthread_mutex_lock(&producer_lock);
    int32_t code = GC_OK;
    Camera *camera = camera_of(stream, KIND_STREAM);
    Buffer *buffer = camera == NULL ? NULL : buffer_of(camera, handle);
    if (camera == NULL) code = fail(GC_INVALID_HANDLE, "no open stream");
    else if (buffer == NULL) code = fail(GC_INVALID_BUFFER, "the buffer was revoked or never announced");
    else if (buffer->is_queued) code = fail(GC_BUSY, "the buffer is queued already");
    else {
        size_t slot = (size_t)(buffer - camera->buffers);
        queue_remove(&camera->output, slot);
        queue_push(&camera->input, slot);
        buffer->is_queued = true;
        buffer->filled_bytes = 0;
    }
    pthread_mutex_unlock(&producer_lock);
    return code;
}

GC_API DSRevokeBuffer(void *stream, void *handle, void **memory, void **user) {
    pthread_mutex_lock(&producer_lock);
    int32_t code = GC_OK;
    Camera *camera = camera_of(stream, KIND_STREAM);
    Buffer *buffer = camera == NULL ? NULL : buffer_of(camera, handle);
    if (camera == NULL) code = fail(GC_INVALID_HANDLE, "no open stream");
    else if (buffer == NULL) code = fail(GC_INVALID_BUFFER, "the buffer was revoked or never announced");
    else if (camera->is_grabbing && buffer->is_queued && !camera_is_gone(camera)) code = fail(GC_BUSY, "the buffer is queued");
    else {
        if (memory != NULL) *memory = buffer->is_ours ? NULL : buffer->memory;
        if (user != NULL) *user = buffer->user;
        forget_buffer(camera, buffer);
    }
    pthread_mutex_unlock(&producer_lock);
    return code;
}

static void discard(Camera *camera, Queue *queue) {
    for (size_t i = 0; i < queue->n; i++) camera->buffers[queue->slots[i]].is_queued = false;
    queue->n = 0;
}

static void queue_all(Camera *camera) {
    for (size_t i = 0; i < MAX_BUFFERS; i++) {
        Buffer *buffer = &camera->buffers[i];
        if (buffer->handle == NULL || buffer->is_queued) continue;
        queue_push(&camera->input, i);
        buffer->is_queued = true;
    }
}

GC_API DSFlushQueue(void *stream, int32_t operation) {
    pthread_mutex_lock(&producer_lock);
    int32_t code = GC_OK;
    Camera *camera = camera_of(stream, KIND_STREAM);
    if (camera == NULL) code = fail(GC_INVALID_HANDLE, "no open stream");
    else if (operation == QUEUE_INPUT_TO_OUTPUT)
        for (int slot = queue_pop(&camera->input); slot >= 0; slot = queue_pop(&camera->input))
            queue_push(&camera->output, (size_t)slot);
    else if (operation == QUEUE_OUTPUT_DISCARD) discard(camera, &camera->output);
    else if (operation == QUEUE_ALL_TO_INPUT) {
        discard(camera, &camera->output);
        queue_all(camera);
    } else if (operation == QUEUE_UNQUEUED_TO_INPUT) queue_all(camera);
    else if (operation == QUEUE_ALL_DISCARD) {
        discard(camera, &camera->input);
        discard(camera, &camera->output);
    } else code = fail(GC_INVALID_PARAMETER, "no such operation");
    pthread_mutex_unlock(&producer_lock);
    return code;
}

GC_API DSStartAcquisition(void *stream, int32_t flags, uint64_t n_frames) {
    (void)flags;
    (void)n_frames; /* the camera streams until it is stopped */
    pthread_mutex_lock(&producer_lock);
    int32_t code = GC_OK;
    Camera *camera = camera_of(stream, KIND_STREAM);
    if (camera == NULL) code = fail(GC_INVALID_HANDLE, "no open stream");
    else if (camera_is_gone(camera)) code = fail(GC_IO, "the camera is lost");
    else if (camera->is_grabbing || camera->has_thread) code = fail(GC_RESOURCE_IN_USE, "the stream runs already");
    else {
        camera->is_grabbing = true;
        camera->filling = -1;
        camera->delivered = camera->underruns = 0;
        camera->kills = 0;
        camera->clock_setting = 0; /* lines that passed before are not made up for */
        camera->has_thread = pthread_create(&camera->thread, NULL, sensor_thread, camera) == 0;
        camera->is_grabbing = camera->has_thread;
        if (!camera->has_thread) code = fail(GC_ERROR, "no thread could be started");
    }
    pthread_mutex_unlock(&producer_lock);
    return code;
}

GC_API DSStopAcquisition(void *stream, int32_t flags) {
    (void)flags;
    pthread_mutex_lock(&producer_lock);
    Camera *camera = camera_of(stream, KIND_STREAM);
    if (camera != NULL) stream_halt_locked(camera);
    pthread_mutex_unlock(&producer_lock);
    return camera != NULL ? GC_OK : fail(GC_INVALID_HANDLE, "no open stream");
}
