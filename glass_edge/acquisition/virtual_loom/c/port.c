/* Ports: the descriptions of all modules and the registers of the camera.
 *
 * Promises: reads and writes outside what exists are refused; a lost camera answers with an input/output error.
 */
#include <stdio.h>
#include <string.h>

#include "descriptions.h"
#include "producer.h"
#include "registers.h"

static const char *module_name(Kind kind) {
    switch (kind) {
    case KIND_SYSTEM: return "TLSystem";
    case KIND_INTERFACE: return "TLInterface";
    case KIND_DEVICE: return "TLDevice";
    case KIND_STREAM: return "TLDataStream";
    default: return "Device";
    }
}

/* Kind of an open port, 0 for anything else. */
static Kind port_kind(const void *port, Camera **camera) {
    Kind kind = handle_kind(port);
    *camera = NULL;
    if (kind == KIND_SYSTEM) return system_is_open(port) ? kind : (Kind)0;
    if (kind == KIND_INTERFACE) return interface_is_open(port) ? kind : (Kind)0;
    if (kind != KIND_DEVICE && kind != KIND_REMOTE && kind != KIND_STREAM) return (Kind)0;
    *camera = camera_of(port, kind);
    return *camera != NULL ? kind : (Kind)0;
}

static int32_t port_info(Kind kind, const Camera *camera, int32_t command, int32_t *type, void *out, size_t *size) {
    bool is_remote = kind == KIND_REMOTE;
    switch (command) {
    case PORT_ID: return answer_string(camera != NULL ? camera->serial : module_name(kind), type, out, size);
    case PORT_VENDOR: return answer_string("glass_edge", type, out, size);
    case PORT_MODEL: return answer_string(is_remote ? "VirtualLoom" : "VirtualLoomModule", type, out, size);
    case PORT_TLTYPE: return answer_string("Custom", type, out, size);
    case PORT_MODULE: return answer_string(module_name(kind), type, out, size);
    case PORT_LITTLE_ENDIAN:
    case PORT_READ: return answer_bool(true, type, out, size);
    case PORT_WRITE: return answer_bool(is_remote, type, out, size);
    case PORT_BIG_ENDIAN:
    case PORT_NA:
    case PORT_NI: return answer_bool(false, type, out, size);
    case PORT_VERSION: return answer_string("1.0", type, out, size);
    case PORT_PORTNAME: return answer_string(is_remote ? "Device" : "ModulePort", type, out, size);
    default: return fail(GC_NOT_IMPLEMENTED, "no such port information");
    }
}

GC_API GCGetPortInfo(void *port, int32_t command, int32_t *type, void *out, size_t *size) {
    Camera *camera;
    pthread_mutex_lock(&producer_lock);
    Kind kind = port_kind(port, &camera);
    int32_t code = kind == 0 ? fail(GC_INVALID_HANDLE, "no open port") : port_info(kind, camera, command, type, out, size);
    pthread_mutex_unlock(&producer_lock);
    return code;
}

static size_t xml_size(Kind kind) { return kind == KIND_REMOTE ? sizeof camera_xml : sizeof module_xml; }
static const char *xml_name(Kind kind) { return kind == KIND_REMOTE ? "virtual_loom.xml" : "virtual_loom_module.xml"; }

static int32_t url_info(Kind kind, int32_t command, int32_t *type, void *out, size_t *size) {
    char url[128];
    switch (command) {
    case URL_URL:
        snprintf(url, sizeof url, "local:%s;%x;%zx", xml_name(kind), XML_ADDRESS, xml_size(kind));
        return answer_string(url, type, out, size);
    case URL_SCHEMA_MAJOR:
    case URL_SCHEMA_MINOR:
    case URL_FILE_MAJOR: return answer_int32(1, type, out, size);
    case URL_FILE_MINOR:
    case URL_FILE_SUBMINOR:
    case URL_SCHEME: return answer_int32(0, type, out, size); /* scheme 0: in the port's own memory */
    case URL_ADDRESS: return answer_uint64(XML_ADDRESS, type, out, size);
    case URL_SIZE: return answer_uint64(xml_size(kind), type, out, size);
    case URL_FILENAME: return answer_string(xml_name(kind), type, out, size);
    default: return fail(GC_NOT_AVAILABLE, "no such URL information");
    }
}

GC_API GCGetNumPortURLs(void *port, uint32_t *n) {
    (void)port;
    if (n == NULL) return fail(GC_INVALID_PARAMETER, "no place for the number");
    *n = 1;
    return GC_OK;
}

GC_API GCGetPortURLInfo(void *port, uint32_t index, int32_t command, int32_t *type, void *out, size_t *size) {
    Camera *camera;
    pthread_mutex_lock(&producer_lock);
    Kind kind = port_kind(port, &camera);
    pthread_mutex_unlock(&producer_lock);
    if (kind == 0) return fail(GC_INVALID_HANDLE, "no open port");
    return index > 0 ? fail(GC_INVALID_INDEX, "there is one URL") : url_info(kind, command, type, out, size);
}

GC_API GCGetPortURL(void *port, char *url, size_t *size) { return GCGetPortURLInfo(port, 0, URL_URL, NULL, url, size); }

static int32_t read_port(Kind kind, Camera *camera, uint64_t address, void *data, size_t size) {
    if (kind == 0) return fail(GC_INVALID_HANDLE, "no open port");
    if (kind == KIND_REMOTE && camera_is_gone(camera)) return fail(GC_IO, "the camera is lost");
    if (address < XML_ADDRESS)
        return kind == KIND_REMOTE ? registers_read(camera, address, data, size) : fail(GC_INVALID_ADDRESS, "no such register");
    uint64_t offset = address - XML_ADDRESS;
    if (offset > xml_size(kind) || size > xml_size(kind) - offset) return fail(GC_INVALID_ADDRESS, "beyond the description");
    memcpy(data, (kind == KIND_REMOTE ? camera_xml : module_xml) + offset, size);
    return GC_OK;
}

GC_API GCReadPort(void *port, uint64_t address, void *data, size_t *size) {
    if (data == NULL || size == NULL) return fail(GC_INVALID_PARAMETER, "nowhere to read to");
    Camera *camera;
    pthread_mutex_lock(&producer_lock);
    Kind kind = port_kind(port, &camera);
    int32_t code = read_port(kind, camera, address, data, *size);
    pthread_mutex_unlock(&producer_lock);
    return code;
}

GC_API GCWritePort(void *port, uint64_t address, const void *data, size_t *size) {
    if (data == NULL || size == NULL) return fail(GC_INVALID_PARAMETER, "nothing to write");
    Camera *camera;
    pthread_mutex_lock(&producer_lock);
    Kind kind = port_kind(port, &camera);
    int32_t code;
    if (kind == 0) code = fail(GC_INVALID_HANDLE, "no open port");
    else if (kind != KIND_REMOTE) code = fail(GC_ACCESS_DENIED, "this module has no registers");
    else if (camera_is_gone(camera)) code = fail(GC_IO, "the camera is lost");
    else code = registers_write(camera, address, data, *size);
    pthread_mutex_unlock(&producer_lock);
    return code;
}

GC_API GCReadPortStacked(void *port, StackedAccess *entries, size_t *n) {
    if (entries == NULL || n == NULL) return fail(GC_INVALID_PARAMETER, "no entries");
    for (size_t i = 0; i < *n; i++) {
        size_t size = entries[i].size;
        int32_t code = GCReadPort(port, entries[i].address, entries[i].data, &size);
        if (code != GC_OK) {
            *n = i;
            return code;
        }
    }
    return GC_OK;
}

GC_API GCWritePortStacked(void *port, StackedAccess *entries, size_t *n) {
    if (entries == NULL || n == NULL) return fail(GC_INVALID_PARAMETER, "no entries");
    for (size_t i = 0; i < *n; i++) {
        size_t size = entries[i].size;
        int32_t code = GCWritePort(port, entries[i].address, entries[i].data, &size);
        if (code != GC_OK) {
            *n = i;
            return code;
        }
    }
    return GC_OK;
}
