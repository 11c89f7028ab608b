/* The library, its one system and its one interface, and the list of cameras.
 *
 * Promises: the cameras are the sub-folders of $GLASS_EDGE_LOOM (or, without it, of the folder this library lies in)
 * that hold a loom's two files, in the order of their names; a lost camera leaves the list until it is found again.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "producer.h"

#define TL_NAME_TEXT "virtual_loom.cti"
#define INTERFACE_NAME "VirtualLoom"

pthread_mutex_t producer_lock = PTHREAD_MUTEX_INITIALIZER;
pthread_cond_t producer_wake;
Camera cameras[MAX_CAMERAS];
size_t n_cameras;
static bool is_listed[MAX_CAMERAS];
static bool is_open_library, is_wake_made;
static void *system_handle, *interface_handle;

bool system_is_open(const void *handle) { return handle != NULL && handle == system_handle; }
bool interface_is_open(const void *handle) { return handle != NULL && handle == interface_handle; }

void *interface_opened(void) { return interface_handle; }

static const char *library_path(void) {
    Dl_info place;
    return dladdr((void *)&cameras, &place) != 0 && place.dli_fname != NULL ? place.dli_fname : "";
}

static void find_cameras(void) {
    char root[3072], path[3400];
    struct dirent **entries = NULL;
    const char *given = getenv("GLASS_EDGE_LOOM");
    snprintf(root, sizeof root, "%s", given != NULL && *given != 0 ? given : library_path());
    if (given == NULL || *given == 0) {
        char *slash = strrchr(root, '/');
        if (slash != NULL) *slash = 0;
        else snprintf(root, sizeof root, ".");
    }
    int n = scandir(root, &entries, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        const char *name = entries[i]->d_name;
        if (n_cameras < MAX_CAMERAS && name[0] != '.' && strlen(name) < sizeof cameras[0].serial) {
            Camera *camera = &cameras[n_cameras];
            memset(camera, 0, sizeof *camera);
            camera->filling = -1;
            snprintf(path, sizeof path, "%s/%s", root, name);
            if (loom_open(&camera->loom, path)) {
                snprintf(camera->serial, sizeof camera->serial, "%s", name);
                is_listed[n_cameras++] = !loom_is_lost(&camera->loom);
            }
        }
        free(entries[i]);
    }
    free(entries);
}

GC_API GCInitLib(void) {
    pthread_mutex_lock(&producer_lock);
    int32_t code = is_open_library ? fail(GC_RESOURCE_IN_USE, "the library is initialised already") : GC_OK;
    if (code == GC_OK) {
        if (!is_wake_made) {
            pthread_condattr_t monotonic;
            pthread_condattr_init(&monotonic);
            pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
            pthread_cond_init(&producer_wake, &monotonic);
            pthread_condattr_destroy(&monotonic);
            is_wake_made = true;
        }
        is_open_library = true;
        find_cameras();
    }
    pthread_mutex_unlock(&producer_lock);
    return code;
}

static void close_system_locked(void) {
    for (size_t i = 0; i < n_cameras; i++) device_close_locked(&cameras[i]);
    system_handle = interface_handle = NULL;
}

GC_API GCCloseLib(void) {
    pthread_mutex_lock(&producer_lock);
    int32_t code = is_open_library ? GC_OK : fail(GC_NOT_INITIALIZED, "the library is not initialised");
    if (code == GC_OK) {
        close_system_locked();
        for (size_t i = 0; i < n_cameras; i++) loom_close(&cameras[i].loom);
        n_cameras = 0;
        is_open_library = false;
    }
    pthread_mutex_unlock(&producer_lock);
    return code;
}

static int32_t system_info(int32_t command, int32_t *type, void *out, size_t *size) {
    switch (command) {
    case TL_ID: return answer_string(library_path(), type, out, size);
    case TL_VENDOR: return answer_string("glass_edge", type, out, size);
    case TL_MODEL:
    case TL_DISPLAYNAME: return answer_string("virtual loom", type, out, size);
    case TL_VERSION: return answer_string("1.0", type, out, size);
    case TL_TLTYPE: return answer_string("Custom", type, out, size);
    case TL_NAME: return answer_string(TL_NAME_TEXT, type, out, size);
    case TL_PATHNAME: return answer_string(library_path(), type, out, size);
    case TL_CHAR_ENCODING: return answer_int32(1, type, out, size); /* UTF-8 */
    case TL_GENTL_MAJOR: return answer_uint32(1, type, out, size);
    case TL_GENTL_MINOR: return answer_uint32(5, type, out, size);
    default: return fail(GC_NOT_IMPLEMENTED, "no such system information");
    }
}

GC_API GCGetInfo(int32_t command, int32_t *type, void *out, size_t *size) { return system_info(command, type, out, size); }

GC_API TLGetInfo(void *system, int32_t command, int32_t *type, void *out, size_t *size) {
    if (!system_is_open(system)) return fail(GC_INVALID_HANDLE, "no open system");
    return system_info(command, type, out, size);
}

GC_API TLOpen(void **system) {
    if (system == NULL) return fail(GC_INVALID_PARAMETER, "no place for the handle");
    pthread_mutex_lock(&producer_lock);
    int32_t code = GC_OK;
    if (!is_open_library) code = fail(GC_NOT_INITIALIZED, "call GCInitLib first");
    else if (system_handle != NULL) code = fail(GC_RESOURCE_IN_USE, "the system is open already");
    else *system = system_handle = handle_new(KIND_SYSTEM, 0, 0);
    pthread_mutex_unlock(&producer_lock);
    return code;
}

GC_API TLClose(void *system) {
    pthread_mutex_lock(&producer_lock);
    int32_t code = system_is_open(system) ? GC_OK : fail(GC_INVALID_HANDLE, "no open system");
    if (code == GC_OK) close_system_locked();
    pthread_mutex_unlock(&producer_lock);
    return code;
}

GC_API TLGetNumInterfaces(void *system, uint32_t *n) {
    if (!system_is_open(system)) return fail(GC_INVALID_HANDLE, "no open system");
    if (n == NULL) return fail(GC_INVALID_PARAMETER, "no place for the number");
    *n = 1;
    return GC_OK;
}

GC_API TLGetInterfaceID(void *system, uint32_t index, char *id, size_t *size) {
    if (!system_is_open(system)) return fail(GC_INVALID_HANDLE, "no open system");
    if (index > 0) return fail(GC_INVALID_INDEX, "there is one interface");
    return answer_string(INTERFACE_NAME, NULL, id, size);
}

static int32_t interface_info(int32_t command, int32_t *type, void *out, size_t *size) {
    switch (command) {
    case INTERFACE_ID:
    case INTERFACE_DISPLAYNAME: return answer_string(INTERFACE_NAME, type, out, size);
    case INTERFACE_TLTYPE: return answer_string("Custom", type, out, size);
    default: return fail(GC_NOT_IMPLEMENTED, "no such interface information");
    }
}

GC_API TLGetInterfaceInfo(void *system, const char *id, int32_t command, int32_t *type, void *out, size_t *size) {
    if (!system_is_open(system)) return fail(GC_INVALID_HANDLE, "no open system");
    if (id == NULL || strcmp(id, INTERFACE_NAME) != 0) return fail(GC_INVALID_ID, "no such interface");
    return interface_info(command, type, out, size);
}

GC_API TLOpenInterface(void *system, const char *id, void **interface) {
    if (interface == NULL) return fail(GC_INVALID_PARAMETER, "no place for the handle");
    pthread_mutex_lock(&producer_lock);
    int32_t code = GC_OK;
    if (!system_is_open(system)) code = fail(GC_INVALID_HANDLE, "no open system");
    else if (id == NULL || strcmp(id, INTERFACE_NAME) != 0) code = fail(GC_INVALID_ID, "no such interface");
    else if (interface_handle != NULL) code = fail(GC_RESOURCE_IN_USE, "the interface is open already");
    else *interface = interface_handle = handle_new(KIND_INTERFACE, 0, 0);
    pthread_mutex_unlock(&producer_lock);
    return code;
}

GC_API TLUpdateInterfaceList(void *system, uint8_t *changed, uint64_t timeout_ms) {
    (void)timeout_ms;
    if (!system_is_open(system)) return fail(GC_INVALID_HANDLE, "no open system");
    if (changed != NULL) *changed = 0;
    return GC_OK;
}

GC_API IFClose(void *interface) {
    pthread_mutex_lock(&producer_lock);
    int32_t code = interface_is_open(interface) ? GC_OK : fail(GC_INVALID_HANDLE, "no open interface");
    if (code == GC_OK) {
        for (size_t i = 0; i < n_cameras; i++) device_close_locked(&cameras[i]);
        interface_handle = NULL;
    }
    pthread_mutex_unlock(&producer_lock);
    return code;
}

GC_API IFGetInfo(void *interface, int32_t command, int32_t *type, void *out, size_t *size) {
    if (!interface_is_open(interface)) return fail(GC_INVALID_HANDLE, "no open interface");
    return interface_info(command, type, out, size);
}

GC_API IFGetParentTL(void *interface, void **system) {
    if (!interface_is_open(interface) || system == NULL) return fail(GC_INVALID_HANDLE, "no open interface");
    *system = system_handle;
    return GC_OK;
}

GC_API IFUpdateDeviceList(void *interface, uint8_t *changed, uint64_t timeout_ms) {
    (void)timeout_ms;
    if (!interface_is_open(interface)) return fail(GC_INVALID_HANDLE, "no open interface");
    pthread_mutex_lock(&producer_lock);
    bool any = false;
    for (size_t i = 0; i < n_cameras; i++) {
        bool is_there = !loom_is_lost(&cameras[i].loom);
        any = any || is_there != is_listed[i];
        is_listed[i] = is_there;
    }
    if (changed != NULL) *changed = any;
    pthread_mutex_unlock(&producer_lock);
    return GC_OK;
}

GC_API IFGetNumDevices(void *interface, uint32_t *n) {
    if (!interface_is_open(interface)) return fail(GC_INVALID_HANDLE, "no open interface");
    if (n == NULL) return fail(GC_INVALID_PARAMETER, "no place for the number");
    *n = 0;
    for (size_t i = 0; i < n_cameras; i++) *n += is_listed[i];
    return GC_OK;
}

GC_API IFGetDeviceID(void *interface, uint32_t index, char *id, size_t *size) {
    if (!interface_is_open(interface)) return fail(GC_INVALID_HANDLE, "no open interface");
    for (size_t i = 0; i < n_cameras; i++)
        if (is_listed[i] && index-- == 0) return answer_string(cameras[i].serial, NULL, id, size);
    return fail(GC_INVALID_INDEX, "fewer cameras than that");
}
