/* Answers of the ...GetInfo functions.
 *
 * Promises: a NULL buffer asks for the size; a buffer that is too small is left alone; errors are kept for each thread.
 */
#include <stdio.h>
#include <string.h>

#include "producer.h"

static _Thread_local int32_t last_code;
static _Thread_local char last_text[128];

int32_t fail(int32_t code, const char *text) {
    last_code = code;
    snprintf(last_text, sizeof last_text, "%s", text);
    return code;
}

static int32_t answer(const void *value, size_t bytes, int32_t of_type, int32_t *type, void *out, size_t *size) {
    if (size == NULL) return fail(GC_INVALID_PARAMETER, "no place for the size");
    if (type != NULL) *type = of_type;
    if (out != NULL) {
        if (*size < bytes) return fail(GC_BUFFER_TOO_SMALL, "the answer does not fit");
        memcpy(out, value, bytes);
    }
    *size = bytes;
    return GC_OK;
}

int32_t answer_string(const char *text, int32_t *type, void *out, size_t *size) {
    return answer(text, strlen(text) + 1, TYPE_STRING, type, out, size);
}

int32_t answer_int32(int32_t value, int32_t *type, void *out, size_t *size) {
    return answer(&value, sizeof value, TYPE_INT32, type, out, size);
}

int32_t answer_uint32(uint32_t value, int32_t *type, void *out, size_t *size) {
    return answer(&value, sizeof value, TYPE_UINT32, type, out, size);
}

int32_t answer_uint64(uint64_t value, int32_t *type, void *out, size_t *size) {
    return answer(&value, sizeof value, TYPE_UINT64, type, out, size);
}

int32_t answer_size(size_t value, int32_t *type, void *out, size_t *size) {
    return answer(&value, sizeof value, TYPE_SIZET, type, out, size);
}

int32_t answer_bool(bool value, int32_t *type, void *out, size_t *size) {
    uint8_t byte = value;
    return answer(&byte, sizeof byte, TYPE_BOOL8, type, out, size);
}

int32_t answer_pointer(void *value, int32_t *type, void *out, size_t *size) {
    return answer(&value, sizeof value, TYPE_PTR, type, out, size);
}

GC_API GCGetLastError(int32_t *code, char *text, size_t *size) {
    if (code != NULL) *code = last_code;
    return answer_string(last_code == GC_OK ? "no error" : last_text, NULL, text, size);
}
