/* What is told about the stream, its buffers and the chunks in them.
 *
 * Promise: only buffers that are announced now are told about.
 */
#include "producer.h"

static int32_t stream_info(const Camera *camera, int32_t command, int32_t *type, void *out, size_t *size) {
    switch (command) {
    case STREAM_ID: return answer_string("Stream0", type, out, size);
    case STREAM_DELIVERED: return answer_uint64(camera->delivered, type, out, size);
    case STREAM_UNDERRUN: return answer_uint64(camera->underruns, type, out, size);
    case STREAM_ANNOUNCED: return answer_size(camera->n_buffers, type, out, size);
    case STREAM_QUEUED: return answer_size(camera->input.n, type, out, size);
    case STREAM_AWAIT_DELIVERY: return answer_size(camera->output.n, type, out, size);
    case STREAM_STARTED: return answer_uint64(camera->frame_id, type, out, size);
    case STREAM_PAYLOAD_SIZE: return answer_size(layout_of(camera).payload_bytes, type, out, size);
    case STREAM_IS_GRABBING: return answer_bool(camera->is_grabbing, type, out, size);
    case STREAM_DEFINES_PAYLOADSIZE: return answer_bool(false, type, out, size);
    case STREAM_TLTYPE: return answer_string("Custom", type, out, size);
    case STREAM_CHUNKS_MAX: return answer_size(N_CHUNKS, type, out, size);
    case STREAM_ANNOUNCE_MIN:
    case STREAM_ALIGNMENT: return answer_size(1, type, out, size);
    default: return fail(GC_NOT_IMPLEMENTED, "no such stream information");
    }
}

GC_API DSGetInfo(void *stream, int32_t command, int32_t *type, void *out, size_t *size) {
    pthread_mutex_lock(&producer_lock);
    Camera *camera = camera_of(stream, KIND_STREAM);
    int32_t code = camera == NULL ? fail(GC_INVALID_HANDLE, "no open stream") : stream_info(camera, command, type, out, size);
    pthread_mutex_unlock(&producer_lock);
    return code;
}

GC_API DSGetBufferID(void *stream, uint32_t index, void **handle) {
    pthread_mutex_lock(&producer_lock);
    int32_t code = fail(GC_INVALID_INDEX, "fewer buffers than that");
    Camera *camera = camera_of(stream, KIND_STREAM);
    if (camera == NULL || handle == NULL) code = fail(GC_INVALID_HANDLE, "no open stream");
    else
        for (size_t i = 0; i < MAX_BUFFERS && code != GC_OK; i++)
            if (camera->buffers[i].handle != NULL && index-- == 0) {
                *handle = camera->buffers[i].handle;
                code = GC_OK;
            }
    pthread_mutex_unlock(&producer_lock);
    return code;
}

static int32_t buffer_info(Buffer *buffer, bool is_filling, int32_t command, int32_t *type, void *out, size_t *size) {
    const Layout *layout = &buffer->layout;
    bool is_new = buffer->is_new;
    switch (command) {
    case BUFFER_BASE: return answer_pointer(buffer->memory, type, out, size);
    case BUFFER_SIZE: return answer_size(buffer->size, type, out, size);
    case BUFFER_USER_PTR: return answer_pointer(buffer->user, type, out, size);
    case BUFFER_TIMESTAMP:
    case BUFFER_TIMESTAMP_NS: return answer_uint64(buffer->timestamp_ns, type, out, size);
    case BUFFER_NEW_DATA: return answer_bool(is_new, type, out, size);
    case BUFFER_IS_QUEUED: return answer_bool(buffer->is_queued, type, out, size);
    case BUFFER_IS_ACQUIRING: return answer_bool(is_filling, type, out, size);
    case BUFFER_IS_INCOMPLETE: return answer_bool(buffer->is_incomplete, type, out, size);
    case BUFFER_TLTYPE: return answer_string("Custom", type, out, size);
    case BUFFER_SIZE_FILLED:
    case BUFFER_DATA_SIZE: return answer_size(buffer->filled_bytes, type, out, size);
    case BUFFER_WIDTH: return answer_size(layout->width_px, type, out, size);
    case BUFFER_HEIGHT: return answer_size(layout->height_lines, type, out, size);
    case BUFFER_XOFFSET: return answer_size(layout->offset_x_px, type, out, size);
    case BUFFER_YOFFSET:
    case BUFFER_XPADDING:
    case BUFFER_YPADDING:
    case BUFFER_IMAGEOFFSET: return answer_size(0, type, out, size);
    case BUFFER_FRAMEID: return answer_uint64(buffer->frame_id, type, out, size);
    case BUFFER_IMAGEPRESENT: return answer_bool(true, type, out, size);
    case BUFFER_PAYLOADTYPE:
        return answer_size(layout->n_chunks > 0 ? PAYLOAD_CHUNK_DATA : PAYLOAD_IMAGE, type, out, size);
    case BUFFER_PIXELFORMAT: return answer_uint64(layout->pixel_format, type, out, size);
    case BUFFER_PIXELFORMAT_NAMESPACE: return answer_uint64(NAMESPACE_PFNC_32BIT, type, out, size);
    case BUFFER_DELIVERED_HEIGHT: return answer_size(buffer->delivered_lines, type, out, size);
    case BUFFER_CHUNKPAYLOAD: return answer_size(layout->n_chunks > 0 ? layout->payload_bytes : 0, type, out, size);
    case BUFFER_CHUNKLAYOUT: return answer_uint64(layout->n_chunks, type, out, size);
    case BUFFER_ENDIANNESS: return answer_int32(PIXEL_LITTLE_ENDIAN, type, out, size);
    case BUFFER_DATA_LARGER: return answer_bool(buffer->is_too_large, type, out, size);
    case BUFFER_CONTAINS_CHUNKS: return answer_bool(layout->n_chunks > 0, type, out, size);
    case BUFFER_IS_COMPOSITE: return answer_bool(false, type, out, size);
    default: return fail(GC_NOT_AVAILABLE, "no such buffer information");
    }
}

GC_API DSGetBufferInfo(void *stream, void *handle, int32_t command, int32_t *type, void *out, size_t *size) {
    pthread_mutex_lock(&producer_lock);
    int32_t code = GC_OK;
    Camera *camera = camera_of(stream, KIND_STREAM);
    Buffer *buffer = camera == NULL ? NULL : buffer_of(camera, handle);
    if (camera == NULL) code = fail(GC_INVALID_HANDLE, "no open stream");
    else if (buffer == NULL) code = fail(GC_INVALID_BUFFER, "the buffer was revoked or never announced");
    else code = buffer_info(buffer, camera->filling == (int)(buffer - camera->buffers), command, type, out, size);
    pthread_mutex_unlock(&producer_lock);
    return code;
}

GC_API DSGetBufferChunkData(void *stream, void *handle, ChunkPlace *chunks, size_t *n) {
    pthread_mutex_lock(&producer_lock);
    int32_t code = GC_OK;
    Camera *camera = camera_of(stream, KIND_STREAM);
    Buffer *buffer = camera == NULL ? NULL : buffer_of(camera, handle);
    if (camera == NULL || n == NULL) code = fail(GC_INVALID_HANDLE, "no open stream");
    else if (buffer == NULL) code = fail(GC_INVALID_BUFFER, "the buffer was revoked or never announced");
    else if (buffer->layout.n_chunks == 0) code = fail(GC_NO_DATA, "no chunks in this buffer");
    else if (chunks != NULL && *n < buffer->layout.n_chunks) code = fail(GC_BUFFER_TOO_SMALL, "more chunks than that");
    else {
        for (size_t i = 0; chunks != NULL && i < buffer->layout.n_chunks; i++) chunks[i] = buffer->layout.chunks[i];
        *n = buffer->layout.n_chunks;
    }
    pthread_mutex_unlock(&producer_lock);
    return code;
}

GC_API DSGetNumBufferParts(void *stream, void *handle, uint32_t *n) {
    (void)stream;
    (void)handle;
    if (n != NULL) *n = 0;
    return fail(GC_NO_DATA, "buffers are not multi-part");
}

GC_API DSGetBufferPartInfo(void *stream, void *handle, uint32_t part, int32_t command, int32_t *type, void *out, size_t *size) {
    (void)stream, (void)handle, (void)part, (void)command, (void)type, (void)out, (void)size;
    return fail(GC_NO_DATA, "buffers are not multi-part");
}

/* GenTL 1.6 knows flows and buffers of several segments; there are none here. */
GC_API DSGetNumFlows(void *stream, uint32_t *n) {
    (void)stream;
    if (n != NULL) *n = 0;
    return n != NULL ? GC_OK : fail(GC_INVALID_PARAMETER, "no place for the number");
}

GC_API DSGetFlowInfo(void *stream, uint32_t flow, int32_t command, int32_t *type, void *out, size_t *size) {
    (void)stream, (void)flow, (void)command, (void)type, (void)out, (void)size;
    return fail(GC_INVALID_INDEX, "there are no flows");
}

GC_API DSAnnounceCompositeBuffer(void *stream, size_t n, void **segments, size_t *sizes, void *user, void **handle) {
    (void)stream, (void)n, (void)segments, (void)sizes, (void)user, (void)handle;
    return fail(GC_NOT_IMPLEMENTED, "buffers have one segment");
}

GC_API DSGetNumBufferSegments(void *stream, void *handle, uint32_t *n) {
    (void)stream, (void)handle;
    if (n != NULL) *n = 0;
    return fail(GC_NO_DATA, "buffers have one segment");
}

GC_API DSGetBufferSegmentInfo(void *stream, void *handle, uint32_t segment, int32_t command, int32_t *type, void *out, size_t *size) {
    (void)stream, (void)handle, (void)segment, (void)command, (void)type, (void)out, (void)size;
    return fail(GC_NO_DATA, "buffers have one segment");
}
