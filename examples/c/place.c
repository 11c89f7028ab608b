#include "place.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "json_field.h"

static bool fails(const char *path)
{
    fprintf(stderr, "%s: %s; give a file in a folder that is writable\n", path, strerror(errno));
    return false;
}

/* PATH with an ending. */
static bool beside(char target[PATH_MAX], const char *path, const char *ending)
{
    int size = snprintf(target, PATH_MAX, "%s%s", path, ending);
    if (size > 0 && size < PATH_MAX)
        return true;
    errno = ENAMETOOLONG;
    return fails(path);
}

bool place_lock(const char *path)
{
    char name[PATH_MAX];
    if (!beside(name, path, ".lock"))
        return false;
    int file = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (file < 0)
        return fails(name);
    if (flock(file, LOCK_EX | LOCK_NB) != 0) {
        if (errno == EWOULDBLOCK)
            fprintf(stderr, "%s: another process uses this file; give each subscriber its own\n", path);
        else
            fails(name);
        close(file);
        return false;
    }
    char pid[32];
    int size = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
    if (ftruncate(file, 0) != 0 || write(file, pid, (size_t)size) != size) {
        fails(name);
        close(file);
        return false;
    }
    return true; /* the file stays open, and with it the lock */
}

bool place_read(const char *path, struct place *place)
{
    char text[4096];
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return errno == ENOENT || fails(path);
    ssize_t size = read(file, text, sizeof text);
    close(file);
    if (size < 0)
        return fails(path);
    struct json_text document = {text, (size_t)size};
    struct place read_place = {0};
    uint64_t version = 0;
    if (json_find_integer(document, "format_version", &version) && version == 1
        && json_find_copy(document, "station", read_place.station, sizeof read_place.station)
        && json_find_copy(document, "epoch", read_place.epoch, sizeof read_place.epoch)
        && json_find_integer(document, "seq", &read_place.seq) && read_place.seq > 0) {
        *place = read_place;
        return true;
    }
    fprintf(stderr, "%s: is not the file of a place; give another, or remove it to begin anew\n", path);
    return false;
}

static bool sync_folder_of(const char *path)
{
    char copy[PATH_MAX];
    if (!beside(copy, path, ""))
        return false;
    int folder = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0)
        return fails(path);
    bool is_done = fsync(folder) == 0;
    close(folder);
    return is_done || fails(path);
}

bool place_write(const char *path, const struct place *place)
{
    char name[PATH_MAX], text[256];
    if (!beside(name, path, ".new"))
        return false;
    static const char format[] =
        "{\n  \"epoch\": \"%s\",\n  \"format_version\": 1,\n  \"seq\": %llu,\n  \"station\": \"%s\"\n}\n";
    int size = snprintf(text, sizeof text, format, place->epoch, (unsigned long long)place->seq, place->station);
    int file = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (file < 0)
        return fails(name);
    bool is_written = write(file, text, (size_t)size) == size && fsync(file) == 0;
    if (close(file) != 0 || !is_written)
        return fails(name);
    if (rename(name, path) != 0)
        return fails(path);
    return sync_folder_of(path);
}
