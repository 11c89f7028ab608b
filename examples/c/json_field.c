#include "json_field.h"

#include <string.h>

static bool is_space(char one)
{
    return one == ' ' || one == '\t' || one == '\n' || one == '\r';
}

static size_t skip_space(struct json_text text, size_t at)
{
    while (at < text.size && is_space(text.start[at]))
        at++;
    return at;
}

/* The place behind the string that begins at `at`; 0 where none does. */
static size_t skip_string(struct json_text text, size_t at)
{
    if (at >= text.size || text.start[at] != '"')
        return 0;
    for (at++; at < text.size; at++) {
        if (text.start[at] == '\\')
            at++;
        else if (text.start[at] == '"')
            return at + 1;
    }
    return 0;
}

/* The place behind the number, `true`, `false` or `null` that begins at `at`; 0 where none does. */
static size_t skip_word(struct json_text text, size_t at)
{
    size_t begin = at;
    while (at < text.size && !is_space(text.start[at]) && strchr(",:[]{}\"", text.start[at]) == NULL)
        at++;
    return at > begin ? at : 0;
}

/* The place behind the value that begins at `at`; 0 where none does. Brackets are counted, so depth costs nothing. */
static size_t skip_value(struct json_text text, size_t at)
{
    size_t depth = 0;
    do {
        at = skip_space(text, at);
        if (at >= text.size)
            return 0;
        switch (text.start[at]) {
        case '{':
        case '[':
            depth++;
            at++;
            break;
        case '}':
        case ']':
            if (depth == 0)
                return 0;
            depth--;
            at++;
            break;
        case ',':
        case ':':
            if (depth == 0)
                return 0;
            at++;
            break;
        case '"':
            at = skip_string(text, at);
            break;
        default:
            at = skip_word(text, at);
        }
    } while (at != 0 && depth > 0);
    return at;
}

bool json_find(struct json_text object, const char *name, struct json_text *value)
{
    bool is_found = false;
    size_t at = skip_space(object, 0);
    if (at >= object.size || object.start[at] != '{')
        return false;
    at = skip_space(object, at + 1);
    if (at < object.size && object.start[at] == '}')
        return false;
    for (;;) {
        size_t key = at;
        size_t behind = skip_string(object, key);
        if (behind == 0)
            return false;
        size_t colon = skip_space(object, behind);
        if (colon >= object.size || object.start[colon] != ':')
            return false;
        size_t begin = skip_space(object, colon + 1);
        size_t end = skip_value(object, begin);
        if (end == 0)
            return false;
        struct json_text found = {object.start + key, behind - key};
        if (json_is(found, name)) {
            *value = (struct json_text){object.start + begin, end - begin};
            is_found = true;
        }
        at = skip_space(object, end);
        if (at >= object.size)
            return false;
        if (object.start[at] == '}')
            break;
        if (object.start[at] != ',')
            return false;
        at = skip_space(object, at + 1);
    }
    return is_found && skip_space(object, at + 1) == object.size;
}

bool json_is(struct json_text value, const char *text)
{
    size_t size = strlen(text);
    return value.size == size + 2 && value.start[0] == '"' && memcmp(value.start + 1, text, size) == 0
           && value.start[size + 1] == '"';
}

bool json_integer(struct json_text value, uint64_t *number)
{
    uint64_t sum = 0;
    if (value.size == 0)
        return false;
    for (size_t at = 0; at < value.size; at++) {
        char digit = value.start[at];
        if (digit < '0' || digit > '9')
            return false;
        uint64_t next = (uint64_t)(digit - '0');
        if (sum > (UINT64_MAX - next) / 10)
            return false;
        sum = sum * 10 + next;
    }
    *number = sum;
    return true;
}

bool json_copy(struct json_text value, char *target, size_t room)
{
    if (value.size < 2 || value.start[0] != '"' || value.start[value.size - 1] != '"')
        return false;
    size_t size = value.size - 2;
    if (size >= room || memchr(value.start + 1, '\\', size) != NULL || memchr(value.start + 1, 0, size) != NULL)
        return false;
    memcpy(target, value.start + 1, size);
    target[size] = 0;
    return true;
}

bool json_find_integer(struct json_text object, const char *name, uint64_t *number)
{
    struct json_text value;
    return json_find(object, name, &value) && json_integer(value, number);
}

bool json_find_copy(struct json_text object, const char *name, char *target, size_t room)
{
    struct json_text value;
    return json_find(object, name, &value) && json_copy(value, target, room);
}
