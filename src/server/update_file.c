/* SPDX-License-Identifier: MIT */
#include "server/update_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#define STEP_BYTES (64u * 1024)

void ml_update_file_complain(const char *path, uint64_t offset, const char *what)
{
    (void)fflush(stdout);
    (void)fprintf(stderr, "%s: byte %llu: %s\n", path, (unsigned long long)offset, what);
}

static bool ends_with_gz(const char *path)
{
    size_t len = strlen(path);

    return len > 3 && strcmp(path + len - 3, ".gz") == 0;
}

/*
 * Ceilings are made from the size of the input, so a pipe is put into a nameless file first, which
 * then is standard input.
 */
static bool spool_stdin(void)
{
    uint8_t buffer[STEP_BYTES];
    struct stat stat;
    FILE *spool;
    ssize_t n;
    bool ok = true;

    if (fstat(STDIN_FILENO, &stat) < 0)
        return false;
    if (S_ISREG(stat.st_mode))
        return true;
    spool = tmpfile();
    if (!spool)
        return false;
    for (;;) {
        n = read(STDIN_FILENO, buffer, sizeof buffer);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        ok = ok && fwrite(buffer, 1, (size_t)n, spool) == (size_t)n;
    }
    ok = ok && n == 0 && fflush(spool) == 0 && lseek(fileno(spool), 0, SEEK_SET) == 0 &&
         dup2(fileno(spool), STDIN_FILENO) >= 0;
    (void)fclose(spool);
    return ok;
}

static int open_path(const char *path)
{
    if (strcmp(path, "-") != 0)
        return open(path, O_RDONLY | O_CLOEXEC);
    return spool_stdin() ? dup(STDIN_FILENO) : -1;
}

enum ml_err ml_update_file_open(struct ml_update_file *file, const char *path, size_t max_bytes)
{
    struct stat stat;
    int fd;

    *file = (struct ml_update_file){.path = path, .fd = -1};
    ml_writer_init(&file->record, max_bytes);
    fd = open_path(path);
    if (fd < 0 || fstat(fd, &stat) < 0 || S_ISDIR(stat.st_mode)) {
        (void)fprintf(stderr, "%s: %s\n", path, fd < 0 ? strerror(errno) : "not a file");
        goto fail;
    }
    file->disk_bytes = S_ISREG(stat.st_mode) ? (uint64_t)stat.st_size : 0;
    if (!ends_with_gz(path)) {
        file->fd = fd;
        return ML_OK;
    }
    file->gz = gzdopen(fd, "rb");
    if (!file->gz) {
        (void)fprintf(stderr, "%s: out of memory\n", path);
        goto fail;
    }
    return ML_OK;

fail:
    if (fd >= 0)
        (void)close(fd);
    return ML_EIO;
}

void ml_update_file_close(struct ml_update_file *file)
{
    if (file->gz)
        (void)gzclose(file->gz);
    if (file->fd >= 0)
        (void)close(file->fd);
    file->gz = NULL;
    file->fd = -1;
    ml_writer_release(&file->record);
}

/* Like read(2), unpacked; a complaint is printed. */
static enum ml_err read_step(struct ml_update_file *file, uint64_t at, void *to, size_t step,
                             size_t *got)
{
    ssize_t n;
    int code = Z_ERRNO;
    const char *text;

    do
        n = file->gz ? gzread(file->gz, to, (unsigned)step) : read(file->fd, to, step);
    while (n < 0 && !file->gz && errno == EINTR);
    if (n >= 0) {
        *got = (size_t)n;
        return ML_OK;
    }
    text = file->gz ? gzerror(file->gz, &code) : NULL;
    ml_update_file_complain(file->path, at, code == Z_ERRNO ? strerror(errno) : text);
    return code == Z_ERRNO ? ML_EIO : ML_EFORMAT;
}

/* Up to `wanted` bytes more to the record; *got says how many there were. */
static enum ml_err read_more(struct ml_update_file *file, size_t wanted, size_t *got)
{
    *got = 0;
    while (*got < wanted) {
        size_t step = wanted - *got < STEP_BYTES ? wanted - *got : STEP_BYTES, n;
        enum ml_err err;

        if (!ml_writer_reserve(&file->record, step)) {
            /* The last step of a file may be shorter than what is asked for. */
            step = file->record.max - file->record.len;
            file->record.err = ML_OK;
            if (!step || !ml_writer_reserve(&file->record, step)) {
                ml_update_file_complain(file->path, file->offset + *got, "too large");
                return ML_ELIMIT;
            }
        }
        err = read_step(file, file->offset + *got, file->record.ptr + file->record.len, step, &n);
        if (err)
            return err;
        if (n == 0)
            break;
        file->record.len += n;
        *got += n;
    }
    return ML_OK;
}

/* gzread answers what it has of a file that was cut; the error comes with the end. */
static enum ml_err check_end(struct ml_update_file *file)
{
    int code = Z_OK;

    if (file->gz)
        (void)gzerror(file->gz, &code);
    if (code == Z_OK || code == Z_STREAM_END)
        return ML_OK;
    ml_update_file_complain(file->path, file->offset,
                            code == Z_BUF_ERROR ? "gzip data is cut short" : "broken gzip data");
    return ML_EFORMAT;
}

enum ml_err ml_update_file_next(struct ml_update_file *file, struct ml_slice *out, bool *more_out)
{
    size_t got, len;
    enum ml_err err;

    *more_out = false;
    ml_writer_reset(&file->record);
    err = read_more(file, 4, &got);
    if (err)
        return err;
    if (got == 0)
        return check_end(file);
    if (got < 4) {
        ml_update_file_complain(file->path, file->offset, "length of a record is cut short");
        return ML_EFORMAT;
    }
    len = file->record.ptr[0] | (size_t)file->record.ptr[1] << 8 |
          (size_t)file->record.ptr[2] << 16 | (size_t)file->record.ptr[3] << 24;
    file->offset += 4;
    ml_writer_reset(&file->record);
    if (len > file->record.max) {
        ml_update_file_complain(file->path, file->offset - 4, "record too large");
        return ML_ELIMIT;
    }
    err = read_more(file, len, &got);
    if (err)
        return err;
    if (got < len) {
        ml_update_file_complain(file->path, file->offset + got, "record is cut short");
        return ML_EFORMAT;
    }
    file->offset += len;
    *out = ml_writer_slice(&file->record);
    *more_out = true;
    return ML_OK;
}

enum ml_err ml_update_file_all(struct ml_update_file *file, struct ml_slice *out)
{
    size_t got;
    enum ml_err err;

    ml_writer_reset(&file->record);
    /* One byte more than fits: so a file of just the right size is not too large. */
    err = read_more(file, file->record.max, &got);
    if (!err && got == file->record.max) {
        uint8_t probe;
        size_t n;

        err = read_step(file, got, &probe, 1, &n);
        if (!err && n) {
            ml_update_file_complain(file->path, got, "too large");
            err = ML_ELIMIT;
        }
    }
    if (!err)
        err = check_end(file);
    file->offset += got;
    *out = ml_writer_slice(&file->record);
    return err;
}
