/* Cameras: opening, closing, and what is told about them.
 *
 * Promises: a camera is opened by one process at a time (a lock on its control file, which the system drops when the
 * process dies); once lost, an open camera stays dead, and only a new opening after it is found again works.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "producer.h"

static Camera *find_camera(const char *id) {
    for (size_t i = 0; id != NULL && i < n_cameras; i++)
        if (strcmp(cameras[i].serial, id) == 0) return &cameras[i];
    return NULL;
}

bool camera_is_gone(const Camera *camera) {
    return loom_losses(&camera->loom) != camera->losses_at_open || loom_is_lost(&camera->loom);
}

static int lock_control(const Camera *camera, int command, short type) {
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1};
    if (fcntl(camera->loom.control_fd, command, &lock) != 0) return -1;
    return command == F_OFD_GETLK && lock.l_type != F_UNLCK ? 1 : 0;
}

static int32_t access_status(const Camera *camera) {
    if (camera->handles[KIND_DEVICE] != NULL) return camera_is_gone(camera) ? ACCESS_NONE : ACCESS_OPEN;
    if (loom_is_lost(&camera->loom)) return ACCESS_NONE;
    return lock_control(camera, F_OFD_GETLK, F_WRLCK) == 0 ? ACCESS_READWRITE : ACCESS_BUSY;
}

int32_t camera_info(const Camera *camera, int32_t command, int32_t *type, void *out, size_t *size) {
    switch (command) {
    case DEVICE_ID:
    case DEVICE_SERIAL: return answer_string(camera->serial, type, out, size);
    case DEVICE_VENDOR: return answer_string("glass_edge", type, out, size);
    case DEVICE_MODEL: return answer_string("VirtualLoom", type, out, size);
    case DEVICE_TLTYPE: return answer_string("Custom", type, out, size);
    case DEVICE_DISPLAYNAME: {
        char name[160];
        snprintf(name, sizeof name, "glass_edge VirtualLoom (%s)", camera->serial);
        return answer_string(name, type, out, size);
    }
    case DEVICE_ACCESS_STATUS: return answer_int32(access_status(camera), type, out, size);
    case DEVICE_USER_NAME: {
        char name[sizeof camera->loom.cloth->user_id + 1] = {0};
        memcpy(name, camera->loom.cloth->user_id, sizeof camera->loom.cloth->user_id);
        return answer_string(name, type, out, size);
    }
    case DEVICE_VERSION: return answer_string("1.0", type, out, size);
    case DEVICE_TIMESTAMP_HZ: return answer_uint64(1000000000u, type, out, size);
    default: return fail(GC_NOT_IMPLEMENTED, "no such device information");
    }
}

GC_API IFGetDeviceInfo(void *interface, const char *id, int32_t command, int32_t *type, void *out, size_t *size) {
    if (!interface_is_open(interface)) return fail(GC_INVALID_HANDLE, "no open interface");
    pthread_mutex_lock(&producer_lock);
    Camera *camera = find_camera(id);
    int32_t code = camera == NULL ? fail(GC_INVALID_ID, "no such camera") : camera_info(camera, command, type, out, size);
    pthread_mutex_unlock(&producer_lock);
    return code;
}

GC_API IFOpenDevice(void *interface, const char *id, int32_t flags, void **device) {
    (void)flags;
    if (!interface_is_open(interface)) return fail(GC_INVALID_HANDLE, "no open interface");
    if (device == NULL) return fail(GC_INVALID_PARAMETER, "no place for the handle");
    pthread_mutex_lock(&producer_lock);
    int32_t code = GC_OK;
    Camera *camera = find_camera(id);
    if (camera == NULL) code = fail(GC_INVALID_ID, "no such camera");
    else if (loom_is_lost(&camera->loom)) code = fail(GC_IO, "the camera is lost");
    else if (camera->handles[KIND_DEVICE] != NULL) code = fail(GC_RESOURCE_IN_USE, "the camera is open already");
    else if (lock_control(camera, F_OFD_SETLK, F_WRLCK) != 0) code = fail(GC_ACCESS_DENIED, "another process has the camera");
    else {
        size_t index = (size_t)(camera - cameras);
        camera->losses_at_open = loom_losses(&camera->loom);
        settings_reset(camera);
        camera->handles[KIND_REMOTE] = handle_new(KIND_REMOTE, index, 0);
        *device = camera->handles[KIND_DEVICE] = handle_new(KIND_DEVICE, index, 0);
    }
    pthread_mutex_unlock(&producer_lock);
    return code;
}

void device_close_locked(Camera *camera) {
    stream_close_locked(camera);
    acquisition_stop_locked(camera);
    if (camera->handles[KIND_DEVICE] != NULL) lock_control(camera, F_OFD_SETLK, F_UNLCK);
    camera->handles[KIND_DEVICE] = camera->handles[KIND_REMOTE] = NULL;
}

GC_API DevClose(void *device) {
    pthread_mutex_lock(&producer_lock);
    Camera *camera = camera_of(device, KIND_DEVICE);
    if (camera != NULL) device_close_locked(camera);
    pthread_mutex_unlock(&producer_lock);
    return camera != NULL ? GC_OK : fail(GC_INVALID_HANDLE, "no open camera");
}

GC_API DevGetInfo(void *device, int32_t command, int32_t *type, void *out, size_t *size) {
    pthread_mutex_lock(&producer_lock);
    Camera *camera = camera_of(device, KIND_DEVICE);
    int32_t code = camera == NULL ? fail(GC_INVALID_HANDLE, "no open camera") : camera_info(camera, command, type, out, size);
    pthread_mutex_unlock(&producer_lock);
    return code;
}

GC_API DevGetPort(void *device, void **remote) {
    pthread_mutex_lock(&producer_lock);
    Camera *camera = camera_of(device, KIND_DEVICE);
    if (camera != NULL && remote != NULL) *remote = camera->handles[KIND_REMOTE];
    pthread_mutex_unlock(&producer_lock);
    return camera != NULL && remote != NULL ? GC_OK : fail(GC_INVALID_HANDLE, "no open camera");
}

GC_API DevGetParentIF(void *device, void **interface) {
    pthread_mutex_lock(&producer_lock);
    bool is_there = camera_of(device, KIND_DEVICE) != NULL && interface != NULL;
    if (is_there) *interface = interface_opened();
    pthread_mutex_unlock(&producer_lock);
    return is_there ? GC_OK : fail(GC_INVALID_HANDLE, "no open camera");
}

GC_API DevGetNumDataStreams(void *device, uint32_t *n) {
    pthread_mutex_lock(&producer_lock);
    bool is_there = camera_of(device, KIND_DEVICE) != NULL && n != NULL;
    if (is_there) *n = 1;
    pthread_mutex_unlock(&producer_lock);
    return is_there ? GC_OK : fail(GC_INVALID_HANDLE, "no open camera");
}

GC_API DevGetDataStreamID(void *device, uint32_t index, char *id, size_t *size) {
    pthread_mutex_lock(&producer_lock);
    bool is_there = camera_of(device, KIND_DEVICE) != NULL;
    pthread_mutex_unlock(&producer_lock);
    if (!is_there) return fail(GC_INVALID_HANDLE, "no open camera");
    return index > 0 ? fail(GC_INVALID_INDEX, "there is one stream") : answer_string("Stream0", NULL, id, size);
}

GC_API DevOpenDataStream(void *device, const char *id, void **stream) {
    if (stream == NULL || id == NULL || strcmp(id, "Stream0") != 0) return fail(GC_INVALID_ID, "no such stream");
    pthread_mutex_lock(&producer_lock);
    int32_t code = GC_OK;
    Camera *camera = camera_of(device, KIND_DEVICE);
    if (camera == NULL) code = fail(GC_INVALID_HANDLE, "no open camera");
    else if (camera->handles[KIND_STREAM] != NULL) code = fail(GC_RESOURCE_IN_USE, "the stream is open already");
    else {
        camera->delivered = camera->underruns = camera->fired = 0;
        *stream = camera->handles[KIND_STREAM] = handle_new(KIND_STREAM, (size_t)(camera - cameras), 0);
    }
    pthread_mutex_unlock(&producer_lock);
    return code;
}
