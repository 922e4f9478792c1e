/* SPDX-License-Identifier: MIT */
#include "server/seal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#define HEX_DIGITS (2 * ML_SEAL_KEY_BYTES)

static bool parse(const char *text, size_t len, uint8_t *out)
{
    while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == '\r'))
        len--;
    if (len != HEX_DIGITS || strspn(text, "0123456789abcdefABCDEF") < HEX_DIGITS)
        return false;
    for (size_t i = 0; i < ML_SEAL_KEY_BYTES; i++) {
        const char pair[3] = {text[2 * i], text[2 * i + 1], '\0'};

        out[i] = (uint8_t)strtoul(pair, NULL, 16);
    }
    return true;
}

static enum ml_err draw(uint8_t *out, struct ml_diag *diag)
{
    if (getrandom(out, ML_SEAL_KEY_BYTES, 0) != ML_SEAL_KEY_BYTES)
        return ml_diag_set(diag, ML_EIO, 0, "no random numbers: %s", strerror(errno));
    return ML_OK;
}

/* Whole or not at all: a second process that starts at once finds the file of the first. */
static enum ml_err make_file(const char *path, uint8_t *out, struct ml_diag *diag)
{
    char text[HEX_DIGITS + 2], temporary[4096];
    enum ml_err err = draw(out, diag);
    bool written;
    int fd;

    if (err)
        return err;
    for (size_t i = 0; i < ML_SEAL_KEY_BYTES; i++)
        (void)snprintf(text + 2 * i, 3, "%02x", out[i]);
    text[HEX_DIGITS] = '\n';
    (void)snprintf(temporary, sizeof(temporary), "%s.%ld", path, (long)getpid());
    fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return ml_diag_set(diag, ML_EIO, 0, "%s: %s", temporary, strerror(errno));
    written = write(fd, text, HEX_DIGITS + 1) == HEX_DIGITS + 1 && fsync(fd) == 0;
    (void)close(fd);
    if (!written || (link(temporary, path) && errno != EEXIST))
        err = ml_diag_set(diag, ML_EIO, 0, "%s: %s", path, strerror(errno));
    (void)unlink(temporary);
    return err;
}

static enum ml_err read_file(const char *path, uint8_t *out, struct ml_diag *diag)
{
    char text[HEX_DIGITS + 16];
    FILE *f = fopen(path, "rbe");
    size_t len;

    if (!f)
        return errno == ENOENT ? ML_ENOTFOUND
                               : ml_diag_set(diag, ML_EIO, 0, "%s: %s", path, strerror(errno));
    len = fread(text, 1, sizeof(text) - 1, f);
    (void)fclose(f);
    text[len] = '\0';
    if (!parse(text, len, out))
        return ml_diag_set(diag, ML_EFORMAT, 0, "%s: 64 hex digits expected", path);
    return ML_OK;
}

enum ml_err ml_seal_key_load(const char *data_dir, bool is_memory,
                             uint8_t key_out[ML_SEAL_KEY_BYTES], struct ml_diag *diag)
{
    const char *given = getenv("MOONLOOM_SEAL_KEY");
    char path[4000];
    enum ml_err err;

    if (given && given[0]) {
        if (!parse(given, strlen(given), key_out))
            return ml_diag_set(diag, ML_EFORMAT, 0, "MOONLOOM_SEAL_KEY: 64 hex digits expected");
        return ML_OK;
    }
    if (is_memory)
        return draw(key_out, diag);
    if ((size_t)snprintf(path, sizeof(path), "%s/seal.key", data_dir) >= sizeof(path))
        return ml_diag_set(diag, ML_EIO, 0, "data_dir: too long");
    err = read_file(path, key_out, diag);
    if (err != ML_ENOTFOUND)
        return err;
    err = make_file(path, key_out, diag);
    return err ? err : read_file(path, key_out, diag);
}
