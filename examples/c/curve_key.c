#include "curve_key.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <zmq.h>

/* Finds NAME = "KEY" in a file that `glass-edge keys` made. */
static bool find_key(const char *text, const char *name, char key[CURVE_KEY_ROOM])
{
    char opening[32];
    snprintf(opening, sizeof opening, "%s = \"", name);
    const char *found = strstr(text, opening);
    if (found == NULL)
        return false;
    found += strlen(opening);
    const char *end = strchr(found, '"');
    if (end == NULL || end - found != CURVE_KEY_ROOM - 1)
        return false;
    memcpy(key, found, CURVE_KEY_ROOM - 1);
    key[CURVE_KEY_ROOM - 1] = 0;
    unsigned char binary[32];
    return zmq_z85_decode(binary, key) != NULL;
}

static bool read_text(const char *path, bool is_secret, char *text, size_t room)
{
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        fprintf(stderr, "%s: %s; give a key file\n", path, strerror(errno));
        return false;
    }
    struct stat state;
    if (is_secret && (fstat(fileno(file), &state) != 0 || (state.st_mode & (S_IRWXG | S_IRWXO)) != 0)) {
        fprintf(stderr, "%s: others may read this secret key; run: chmod 600 %s\n", path, path);
        fclose(file);
        return false;
    }
    size_t size = fread(text, 1, room - 1, file);
    text[size] = 0;
    fclose(file);
    return true;
}

bool curve_keys_read(const char *station_file, const char *own_file, struct curve_keys *keys)
{
    char text[4096];
    if (!read_text(station_file, false, text, sizeof text))
        return false;
    if (strstr(text, "secret-key") != NULL || !find_key(text, "public-key", keys->station_public)) {
        fprintf(stderr, "%s: is no public key; give the station's file .key\n", station_file);
        return false;
    }
    if (!read_text(own_file, true, text, sizeof text))
        return false;
    bool is_pair = find_key(text, "public-key", keys->own_public) && find_key(text, "secret-key", keys->own_secret);
    memset(text, 0, sizeof text);
    if (!is_pair)
        fprintf(stderr, "%s: holds no secret key; give the file .key_secret of the pair\n", own_file);
    return is_pair;
}
