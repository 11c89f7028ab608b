/* Values of a JSON object by their names, in whatever order they stand; nothing is allocated or changed.
 *
 * A reader, no validator: it needs whole objects, as the station sends them, and refuses what is none, but takes a
 * value for what its brackets and quotes say. Names that are written with escapes are not found.
 */
#ifndef JSON_FIELD_H
#define JSON_FIELD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A piece of a text; no zero follows it. */
struct json_text {
    const char *start;
    size_t size;
};

/* Finds `name` at the top of `object`; of several, the last. A string's value has its quotes. */
bool json_find(struct json_text object, const char *name, struct json_text *value);

/* Whether `value` is the string `text`. */
bool json_is(struct json_text value, const char *text);

/* Reads an integer from 0 to 2^64 - 1. */
bool json_integer(struct json_text value, uint64_t *number);

/* Copies a string without escapes to `target`, with a zero behind it; false where it is none or has no room. */
bool json_copy(struct json_text value, char *target, size_t room);

/* The same of the value of `name` in `object`. */
bool json_find_integer(struct json_text object, const char *name, uint64_t *number);
bool json_find_copy(struct json_text object, const char *name, char *target, size_t room);

#endif
