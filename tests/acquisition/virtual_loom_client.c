/* A GenTL consumer without any library: streams, misuses and tears down the virtual loom it is linked with.
 *
 * Promise: exit code 0 and "done" when every answer was the expected one; meant to run under a sanitizer or valgrind.
 * $GLASS_EDGE_LOOM names a folder with the loom LOOM-1; faults are ordered in its control file as the Python side does.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "gentl.h"
#include "loom.h"
#include "registers.h"

#define EXPECT(condition)                                                        \
    do {                                                                         \
        if (!(condition)) {                                                      \
            fprintf(stderr, "line %d: not true: %s\n", __LINE__, #condition);    \
            exit(1);                                                             \
        }                                                                        \
    } while (0)

int32_t GCInitLib(void), GCCloseLib(void), TLOpen(void **), TLClose(void *), TLOpenInterface(void *, const char *, void **);
int32_t IFClose(void *), IFOpenDevice(void *, const char *, int32_t, void **), IFUpdateDeviceList(void *, uint8_t *, uint64_t);
int32_t IFGetNumDevices(void *, uint32_t *), DevGetPort(void *, void **), DevOpenDataStream(void *, const char *, void **);
int32_t DevClose(void *), DSClose(void *), DSAllocAndAnnounceBuffer(void *, size_t, void *, void **);
int32_t DSAnnounceBuffer(void *, void *, size_t, void *, void **), DSQueueBuffer(void *, void *);
int32_t DSRevokeBuffer(void *, void *, void **, void **), DSFlushQueue(void *, int32_t);
int32_t DSStartAcquisition(void *, int32_t, uint64_t), DSStopAcquisition(void *, int32_t);
int32_t DSGetBufferInfo(void *, void *, int32_t, int32_t *, void *, size_t *), DSGetBufferChunkData(void *, void *, ChunkPlace *, size_t *);
int32_t GCRegisterEvent(void *, int32_t, void **), GCUnregisterEvent(void *, int32_t), EventGetData(void *, void *, size_t *, uint64_t);
int32_t EventKill(void *), EventFlush(void *), GCReadPort(void *, uint64_t, void *, size_t *), GCWritePort(void *, uint64_t, const void *, size_t *);

enum { N_BUFFERS = 6, HEIGHT = 16 };
static void *tl, *interface, *device, *remote, *stream, *event, *buffers[N_BUFFERS];
static Control *control;

static int32_t write32(uint64_t address, uint32_t value) {
    size_t size = sizeof value;
    return GCWritePort(remote, address, &value, &size);
}

static uint32_t read32(uint64_t address) {
    uint32_t value = 0;
    size_t size = sizeof value;
    EXPECT(GCReadPort(remote, address, &value, &size) == GC_OK);
    return value;
}

static void open_camera(void) {
    EXPECT(IFOpenDevice(interface, "LOOM-1", 4, &device) == GC_OK);
    EXPECT(IFOpenDevice(interface, "LOOM-1", 4, &device) == GC_RESOURCE_IN_USE);
    EXPECT(DevGetPort(device, &remote) == GC_OK);
    EXPECT(DevOpenDataStream(device, "Stream0", &stream) == GC_OK);
    EXPECT(write32(REG_HEIGHT, HEIGHT) == GC_OK && write32(REG_CHUNK_MODE_ACTIVE, 1) == GC_OK);
    EXPECT(write32(REG_TRIGGER_SELECTOR, 1) == GC_OK && write32(REG_TRIGGER_MODE, 1) == GC_OK);
    EXPECT(write32(REG_HEIGHT, 0) == GC_INVALID_VALUE && write32(REG_WIDTH, 5) == GC_INVALID_VALUE);
}

static void start(void) {
    for (int i = 0; i < N_BUFFERS; i++) {
        EXPECT(DSAllocAndAnnounceBuffer(stream, read32(REG_PAYLOAD_SIZE), NULL, &buffers[i]) == GC_OK);
        EXPECT(DSQueueBuffer(stream, buffers[i]) == GC_OK && DSQueueBuffer(stream, buffers[i]) == GC_BUSY);
    }
    EXPECT(GCRegisterEvent(stream, EVENT_NEW_BUFFER, &event) == GC_OK);
    EXPECT(write32(REG_TL_PARAMS_LOCKED, 1) == GC_OK && write32(REG_HEIGHT, 8) == GC_ACCESS_DENIED);
    EXPECT(DSStartAcquisition(stream, 0, UINT64_MAX) == GC_OK && DSStartAcquisition(stream, 0, 1) == GC_RESOURCE_IN_USE);
    EXPECT(write32(REG_ACQUISITION_START, 1) == GC_OK);
}

static void *next_buffer(uint64_t timeout_ms) {
    NewBufferEvent data;
    size_t size = sizeof data;
    return EventGetData(event, &data, &size, timeout_ms) == GC_OK ? data.buffer : NULL;
}

static uint64_t frame_of(void *buffer) {
    uint64_t id = 0;
    size_t size = sizeof id;
    EXPECT(DSGetBufferInfo(stream, buffer, BUFFER_FRAMEID, NULL, &id, &size) == GC_OK);
    return id;
}

static void take_frames(int n) {
    for (int i = 0; i < n; i++) {
        void *buffer = next_buffer(5000);
        ChunkPlace chunks[8];
        size_t n_chunks = 8;
        EXPECT(buffer != NULL && frame_of(buffer) > 0);
        DSGetBufferChunkData(stream, buffer, chunks, &n_chunks);
        EXPECT(DSQueueBuffer(stream, buffer) == GC_OK);
    }
}

static void stop(void) {
    EXPECT(write32(REG_ACQUISITION_STOP, 1) == GC_OK && write32(REG_TL_PARAMS_LOCKED, 0) == GC_OK);
    EXPECT(DSStopAcquisition(stream, 1) == GC_OK && DSStopAcquisition(stream, 1) == GC_OK);
    EXPECT(DSFlushQueue(stream, QUEUE_ALL_DISCARD) == GC_OK && EventFlush(event) == GC_OK);
    for (int i = 0; i < N_BUFFERS; i++) {
        EXPECT(DSRevokeBuffer(stream, buffers[i], NULL, NULL) == GC_OK);
        EXPECT(DSRevokeBuffer(stream, buffers[i], NULL, NULL) == GC_INVALID_BUFFER);
        EXPECT(DSQueueBuffer(stream, buffers[i]) == GC_INVALID_BUFFER);
    }
    EXPECT(GCUnregisterEvent(stream, EVENT_NEW_BUFFER) == GC_OK && EventKill(event) == GC_INVALID_HANDLE);
}

static void *wait_for_ever(void *nothing) {
    while (next_buffer(GENTL_INFINITE) != NULL) continue;
    return nothing;
}

static void every_format(void) {
    static const uint32_t formats[] = {FORMAT_MONO8, FORMAT_MONO10, FORMAT_MONO10P, FORMAT_MONO12, FORMAT_MONO12P,
                                       FORMAT_MONO12PACKED, FORMAT_MONO16, FORMAT_RGB8, FORMAT_BAYERRG8};
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        EXPECT(write32(REG_PIXEL_FORMAT, formats[i]) == GC_OK);
        start();
        take_frames(3);
        stop();
    }
    EXPECT(write32(REG_PIXEL_FORMAT, FORMAT_MONO8) == GC_OK && write32(REG_PIXEL_FORMAT, 7) == GC_INVALID_VALUE);
}

static void every_fault(void) {
    start();
    STORE(control->ordered.incomplete, 2);
    STORE(control->ordered.drop, 2);
    STORE(control->ordered.missed_trigger, 5);
    STORE(control->ordered.bad_chunk, 2);
    take_frames(30);
    EXPECT(LOAD(control->done.drop) == 2 && LOAD(control->done.missed_trigger) == 5);
    STORE(control->stalled, 1);
    while (next_buffer(100) != NULL) continue; /* nobody queues them again: the next stall is for want of buffers */
    STORE(control->stalled, 0);
    stop();
}

static void a_loss(void) {
    uint32_t n = 9;
    size_t size = 4;
    pthread_t waiter;
    start();
    take_frames(2);
    EXPECT(pthread_create(&waiter, NULL, wait_for_ever, NULL) == 0);
    STORE(control->found_ns, UINT64_MAX);
    ADD(control->losses, 1);
    pthread_join(waiter, NULL);
    EXPECT(GCReadPort(remote, REG_WIDTH, &n, &size) == GC_IO && write32(REG_ACQUISITION_STOP, 1) == GC_IO);
    EXPECT(DSRevokeBuffer(stream, buffers[0], NULL, NULL) == GC_OK);
    EXPECT(IFUpdateDeviceList(interface, NULL, 0) == GC_OK && IFGetNumDevices(interface, &n) == GC_OK && n == 0);
    EXPECT(DSClose(stream) == GC_OK && DSClose(stream) == GC_INVALID_HANDLE && DSQueueBuffer(stream, buffers[1]) == GC_INVALID_HANDLE);
    EXPECT(DevClose(device) == GC_OK && DevClose(device) == GC_INVALID_HANDLE);
    EXPECT(IFOpenDevice(interface, "LOOM-1", 4, &device) == GC_IO);
    STORE(control->found_ns, 0);
    EXPECT(IFUpdateDeviceList(interface, NULL, 0) == GC_OK && IFGetNumDevices(interface, &n) == GC_OK && n == 1);
}

static void close_all_at_once(void) {
    pthread_t waiter;
    start();
    EXPECT(pthread_create(&waiter, NULL, wait_for_ever, NULL) == 0);
    usleep(50000);
    EXPECT(GCCloseLib() == GC_OK && GCCloseLib() == GC_NOT_INITIALIZED);
    pthread_join(waiter, NULL);
    EXPECT(DSQueueBuffer(stream, buffers[0]) == GC_INVALID_HANDLE && DSStopAcquisition(stream, 0) == GC_INVALID_HANDLE);
    EXPECT(DevClose(device) == GC_INVALID_HANDLE && IFClose(interface) == GC_INVALID_HANDLE && TLClose(tl) == GC_INVALID_HANDLE);
}

int main(void) {
    char path[4096];
    snprintf(path, sizeof path, "%s/LOOM-1/control", getenv("GLASS_EDGE_LOOM"));
    int file = open(path, O_RDWR);
    control = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    EXPECT(file >= 0 && control != MAP_FAILED);
    for (int round = 0; round < 2; round++) {
        EXPECT(GCInitLib() == GC_OK && GCInitLib() == GC_RESOURCE_IN_USE);
        EXPECT(TLOpen(&tl) == GC_OK && TLOpenInterface(tl, "VirtualLoom", &interface) == GC_OK);
        open_camera();
        every_format();
        if (round == 0) every_fault();
        a_loss();
        open_camera();
        close_all_at_once();
    }
    munmap(control, sizeof *control);
    close(file);
    puts("done");
    return 0;
}
